-- Projections that have generations which nobody needs any more: those of rebuilds that ended without a swap, and those
-- that stopped serving longer ago than $1 seconds, or that another one has served after since: one is kept to go back to.
select distinct g.projection
from projections.generations g
join projections.projections p on p.projection = g.projection and p.live_generation <> g.generation
where g.retired_at < clock_timestamp() - make_interval(secs => $1)
   or exists (
        select from projections.generations n
        where n.projection = g.projection and n.follows and n.retired_at > g.retired_at
   )
   or g.retired_at is null and not exists (
        select from projections.rebuilds r
        where r.projection = g.projection and r.generation = g.generation and r.state not in ('done', 'failed', 'cancelled')
   )
