-- Whether a projection ($1) is held, and why. Probes the primary key.
select p.paused,
       p.stopped ->> 'statement' || ' failed at position ' || (p.stopped ->> 'position') || ': ' || (p.stopped ->> 'error')
from projections.projections p
where p.projection = $1
