-- The checkpoints of a generation ($1 projection, $2 number; null: the one that serves). Walks the primary key.
select c.stream_type, c.partition, c.position, c.next_offset, c.topic_id, c.log_id
from projections.projections p
join projections.checkpoints c on c.projection = p.projection and c.generation = coalesce($2, p.live_generation)
where p.projection = $1
order by c.stream_type, c.partition
