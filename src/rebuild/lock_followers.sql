-- Holds every worker of a projection ($1): locks the checkpoints of all generations that follow, in the workers' order.
select
from projections.checkpoints c
join projections.generations g on g.projection = c.projection and g.generation = c.generation
join projections.projections p on p.projection = c.projection
where c.projection = $1 and g.follows
order by c.stream_type, c.partition, c.generation <> p.live_generation, c.generation
for no key update of c
