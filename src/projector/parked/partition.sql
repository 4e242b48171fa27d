-- The partition of a stream ($2 type, $3 id) that some generation of a projection ($1) has parked.
select k.partition
from projections.parked k
where k.projection = $1 and k.stream_type = $2 and k.stream_id = $3
limit 1
