-- Locks the checkpoints of partitions ($2, $3) of a projection ($1) in every generation that follows, always in the same
-- order, so that two workers that are both given a partition wait for each other and do not deadlock.
select c.generation, c.stream_type, c.partition, c.position
from projections.checkpoints c
where c.projection = $1 and c.follows
  and (c.stream_type, c.partition) in (select w.stream_type, w.partition from unnest($2::text[], $3::integer[]) as w (stream_type, partition))
order by c.stream_type, c.partition, c.generation
for no key update
