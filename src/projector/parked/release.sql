-- Takes events ($3 positions) of a generation ($1 projection, $2 number) back, and counts $6 of them as applied and $7 as
-- ignored in their partition ($4 stream type, $5 number), whose checkpoint is held.
with released as (
    delete from projections.parked k
    where k.projection = $1 and k.generation = $2 and k.position = any ($3::bigint[])
)
update projections.checkpoints c
set parked = c.parked - $6 - $7, applied = c.applied + $6, ignored = c.ignored + $7
where c.projection = $1 and c.generation = $2 and c.stream_type = $4 and c.partition = $5
