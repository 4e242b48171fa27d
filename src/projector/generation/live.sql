-- The generation of a projection ($1 name) that serves. Probes the primary keys.
select g.generation, g.schema_name, g.version, g.folder
from projections.projections p
join projections.generations g on g.projection = p.projection and g.generation = p.live_generation
where p.projection = $1
