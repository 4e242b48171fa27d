-- The checkpoints of a generation ($1 projection, $2 number). Walks the primary key.
select c.stream_type, c.partition, c.position, c.next_offset, c.topic_id, c.log_id
from projections.checkpoints c
where c.projection = $1 and c.generation = $2
order by c.stream_type, c.partition
