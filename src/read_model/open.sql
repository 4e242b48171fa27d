-- Turns a transaction into the reader's, with an end to each statement ($2), and tells which generation of a read model
-- ($1) is live, its smallest checkpoint and how many of its events are set apart. Probes the primary keys.
select p.live_generation, coalesce(c.position, 0), coalesce(c.parked, 0)::bigint,
       set_config('role', 'annals_reader', true), set_config('statement_timeout', $2, true)
from projections.projections p
cross join lateral (
    select min(c.position) as position, sum(c.parked) as parked
    from projections.checkpoints c
    where c.projection = p.projection and c.generation = p.live_generation
) c
where p.projection = $1
