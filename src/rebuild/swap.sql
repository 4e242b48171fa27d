-- Lets the generation of a rebuild ($1) that waits serve from now on; a projection that stood still tries again with it.
-- Nothing where the generation does not follow. All parts see the pointer as it was before.
with done as (
    update projections.rebuilds r set state = 'done', ended_at = clock_timestamp()
    from projections.generations g
    where r.id = $1 and r.state = 'waiting' and g.projection = r.projection and g.generation = r.generation and g.follows
    returning r.projection, r.generation
), retired as (
    update projections.generations g set retired_at = clock_timestamp()
    from done d
    join projections.projections p on p.projection = d.projection
    where g.projection = p.projection and g.generation = p.live_generation
)
update projections.projections p set live_generation = d.generation, stopped = null
from done d
where p.projection = d.projection
returning p.live_generation
