-- How far each partition of each projection has come, in the generation that serves.
select p.projection, c.stream_type, c.partition, c.position
from projections.projections p
join projections.checkpoints c on c.projection = p.projection and c.generation = p.live_generation
order by 1, 2, 3
