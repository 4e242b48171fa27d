-- Takes partitions that nobody holds, those furthest behind first: $1 projection, $2 generation, $3 and $4 the
-- partitions wanted, $5 how many at most. Walks the primary key. A row that another worker holds is passed over.
select c.stream_type, c.partition
from projections.checkpoints c
where c.projection = $1 and c.generation = $2
  and (c.stream_type, c.partition) in (select w.stream_type, w.partition from unnest($3::text[], $4::integer[]) as w (stream_type, partition))
order by c.position, c.stream_type, c.partition
limit $5
for no key update skip locked
