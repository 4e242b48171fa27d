-- Lets the generation that served a projection ($1) before serve again, and that one follow in its place; nothing where
-- none is kept. A rebuild that is under way waits for a person at its end, for it may be of what is gone back from. All parts see
-- the pointer as it was before.
with previous as (
    select g.projection, g.generation, p.live_generation
    from projections.projections p
    join projections.generations g on g.projection = p.projection and g.generation <> p.live_generation
    where p.projection = $1 and g.follows and g.retired_at is not null
    order by g.retired_at desc
    limit 1
), turned as (
    update projections.generations g
    set retired_at = case when g.generation = r.live_generation then clock_timestamp() end
    from previous r
    where g.projection = r.projection and g.generation in (r.generation, r.live_generation)
), waiting as (
    update projections.rebuilds u set swap = 'manual'
    from previous r
    where u.projection = r.projection and u.swap = 'auto' and u.state not in ('done', 'failed', 'cancelled')
)
update projections.projections p set live_generation = r.generation, stopped = null
from previous r
where p.projection = r.projection
returning p.live_generation
