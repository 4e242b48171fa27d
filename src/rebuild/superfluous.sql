-- Projections that have generations which nobody needs any more: those of rebuilds that ended without a swap, and those
-- that stopped serving longer ago than $1 seconds.
select distinct g.projection
from projections.generations g
join projections.projections p on p.projection = g.projection and p.live_generation <> g.generation
where g.retired_at < clock_timestamp() - make_interval(secs => $1)
   or g.retired_at is null and not exists (
        select from projections.rebuilds r
        where r.projection = g.projection and r.generation = g.generation and r.state not in ('done', 'failed', 'cancelled')
   )
