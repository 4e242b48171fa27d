-- The events that the live generation of a projection ($1) has parked, after a position ($2), at most $3. Walks the
-- primary key.
select k.generation, k.position, k.stream_type, k.stream_id, k.version, k.event_id, k.event_type, k.statement, k.error,
       k.at
from projections.projections p
join projections.parked k on k.projection = p.projection and k.generation = p.live_generation
where p.projection = $1 and k.position > $2
order by k.position
limit $3
