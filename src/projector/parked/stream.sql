-- What a generation ($1 projection, $2 number) has parked of a stream ($3 type, $4 id), in order. Walks parked_streams.
select k.position
from projections.parked k
where k.projection = $1 and k.generation = $2 and k.stream_type = $3 and k.stream_id = $4
order by k.position
