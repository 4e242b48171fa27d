-- Generations of a projection ($1; null: of all) that nobody needs any more: those of rebuilds that ended without a swap, and
-- those that stopped serving longer ago than $2 seconds, or that another one has served after since: one is kept to go back to.
select g.projection, g.generation, g.schema_name
from projections.generations g
join projections.projections p on p.projection = g.projection and p.live_generation <> g.generation
where ($1::text is null or g.projection = $1)
  and (g.retired_at < clock_timestamp() - make_interval(secs => $2)
    or exists (
        select from projections.generations n
        where n.projection = g.projection and n.follows and n.retired_at > g.retired_at
    )
    or g.retired_at is null and not exists (
        select from projections.rebuilds r
        where r.projection = g.projection and r.generation = g.generation and r.state not in ('done', 'failed', 'cancelled')
    ))
