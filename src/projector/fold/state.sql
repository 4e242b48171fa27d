-- Whether a projection ($1) is held, why, which generation serves and which follow. Probes the primary keys.
select p.paused,
       p.stopped ->> 'statement' || ' failed at position ' || (p.stopped ->> 'position') || ': ' || (p.stopped ->> 'error'),
       p.live_generation,
       array(select g.generation from projections.generations g where g.projection = p.projection and g.follows)
from projections.projections p
where p.projection = $1
