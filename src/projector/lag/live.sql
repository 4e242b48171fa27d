-- How far each partition of each projection has come, in the generation that serves. One that has none yet, because none
-- of its stream types has events, comes once with nulls.
select p.projection, c.stream_type, c.partition, c.position
from projections.projections p
left join projections.checkpoints c on c.projection = p.projection and c.generation = p.live_generation
order by 1, 2, 3
