-- Moves checkpoints by compare-and-set: $1 projection, $2 generation, then per partition $3 stream type, $4 number,
-- $5 where it is, $6 where it comes, $7 next offset (null: not known), $8 topic, $9 events applied, $10 ignored, $11 parked.
-- Fewer rows than partitions: somebody else moved one, and the transaction has to roll back.
update projections.checkpoints c
set position = m.position,
    next_offset = coalesce(m.next_offset, c.next_offset),
    topic_id = case when m.next_offset is null then c.topic_id else m.topic_id end,
    applied = c.applied + m.applied,
    ignored = c.ignored + m.ignored,
    parked = c.parked + m.parked
from unnest($3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::uuid[], $9::bigint[], $10::bigint[], $11::bigint[])
     as m (stream_type, partition, expected, position, next_offset, topic_id, applied, ignored, parked)
where c.projection = $1 and c.generation = $2
  and c.stream_type = m.stream_type and c.partition = m.partition and c.position = m.expected
