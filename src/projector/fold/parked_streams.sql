-- The streams that a generation ($1 projection, $2 number) has parked. Walks parked_streams.
select distinct p.stream_type, p.stream_id
from projections.parked p
where p.projection = $1 and p.generation = $2
