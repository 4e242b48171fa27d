-- Forgets the generations of a projection ($1) that nobody needs any more (see superfluous.sql; $2 seconds); under the
-- projection's lock. Returns their schemas.
delete from projections.generations g
using projections.projections p
where g.projection = $1 and p.projection = $1 and p.live_generation <> g.generation
  and (g.retired_at < clock_timestamp() - make_interval(secs => $2)
    or exists (
        select from projections.generations n
        where n.projection = g.projection and n.follows and n.retired_at > g.retired_at
    )
    or g.retired_at is null and not exists (
        select from projections.rebuilds r
        where r.projection = g.projection and r.generation = g.generation and r.state not in ('done', 'failed', 'cancelled')
    ))
returning g.schema_name
