-- The live generation of a read model ($1) and the folder it was made from. Probes the primary keys.
select g.generation, g.schema_name, g.folder
from projections.projections p
join projections.generations g on g.projection = p.projection and g.generation = p.live_generation
where p.projection = $1
