-- The schema of the generation that serves a projection ($1).
select g.schema_name
from projections.projections p
join projections.generations g on g.projection = p.projection and g.generation = p.live_generation
where p.projection = $1
