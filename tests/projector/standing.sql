-- What became of a projection's ($1) events: applied, ignored, parked.
select sum(applied)::bigint, sum(ignored)::bigint, sum(parked)::bigint
from projections.checkpoints
where projection = $1
