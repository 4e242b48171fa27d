-- The streams that either of two generations ($2 live, $3 new) of a projection ($1) has parked, and from which position on each
-- of them has; null: it has not. Walks the primary key of each; there is a bounded number.
select k.stream_type, k.stream_id,
       min(k.position) filter (where k.generation = $2), min(k.position) filter (where k.generation = $3)
from projections.parked k
where k.projection = $1 and k.generation in ($2, $3)
group by k.stream_type, k.stream_id
order by min(k.position)
