-- Checkpoints at 0 for partitions that have none: $1 projection, $2 generation, $3 log, $4 stream types with their
-- counts of partitions ($5). Harmless when others do the same.
insert into projections.checkpoints (projection, generation, log_id, stream_type, partition)
select $1, $2, $3, t.stream_type, n.partition
from unnest($4::text[], $5::integer[]) as t (stream_type, partitions)
cross join lateral generate_series(0, t.partitions - 1) as n (partition)
on conflict do nothing
