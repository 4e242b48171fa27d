-- Turns a transaction into the reader's, with an end to each statement ($2), and tells which generation of a read model
-- ($1) is live, how many of its events are set apart, and where each of its partitions stands. Probes the primary keys.
select p.live_generation, coalesce(c.parked, 0)::bigint,
       coalesce(c.stream_types, '{}'), coalesce(c.partitions, '{}'), coalesce(c.positions, '{}'),
       set_config('role', 'annals_reader', true), set_config('statement_timeout', $2, true)
from projections.projections p
cross join lateral (
    select sum(c.parked) as parked, array_agg(c.stream_type::text) as stream_types,
           array_agg(c.partition) as partitions, array_agg(c.position) as positions
    from projections.checkpoints c
    where c.projection = p.projection and c.generation = p.live_generation
) c
where p.projection = $1
