-- Detaches a generation ($1 projection, $2 number) that cannot follow, for a reason ($3): the others go on, and a rebuild
-- of it has failed. Never the one that serves.
with detached as (
    update projections.generations g set follows = false
    from projections.projections p
    where g.projection = $1 and g.generation = $2 and p.projection = $1 and p.live_generation <> $2
    returning g.projection, g.generation
)
update projections.rebuilds r
set state = 'failed', error = $3, ended_at = clock_timestamp(), holder = null, leased_until = null
from detached d
where r.projection = d.projection and r.generation = d.generation and r.state not in ('done', 'failed', 'cancelled')
