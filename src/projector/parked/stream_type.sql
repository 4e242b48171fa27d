-- The type of a stream ($2) that the live generation of a projection ($1) has parked. Walks what that has parked, of
-- which there is a bounded number.
select k.stream_type
from projections.projections p
join projections.parked k on k.projection = p.projection and k.generation = p.live_generation
where p.projection = $1 and k.stream_id = $2
order by k.position
limit 1
