-- Whether every event that a projection ($1) reads is passed once by the generation that serves: applied, ignored or parked,
-- all in all.
select coalesce(sum(c.applied + c.ignored + c.parked), 0) = (
    select count(*) from log.events e
    where e.stream_type in (select c.stream_type from projections.checkpoints c where c.projection = $1)
) and count(*) > 0
from projections.projections p
join projections.checkpoints c on c.projection = p.projection and c.generation = p.live_generation
where p.projection = $1
