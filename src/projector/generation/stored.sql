-- A generation ($1 projection, $2 number) as it is stored, and whether it follows. Probes the primary key.
select g.generation, g.schema_name, g.version, g.folder, g.made_for, g.follows
from projections.generations g
where g.projection = $1 and g.generation = $2
