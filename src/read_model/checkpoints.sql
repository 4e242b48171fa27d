-- How far each partition of a read model's ($1) live generation has come. Walks the primary key.
select c.stream_type, c.partition, c.position
from projections.projections p
join projections.checkpoints c on c.projection = p.projection and c.generation = p.live_generation
where p.projection = $1
