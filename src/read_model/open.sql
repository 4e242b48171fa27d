-- Which generation of a read model ($1) is live, how many of its events are parked, and where each of its partitions
-- stands. Probes the primary keys.
select p.live_generation, coalesce(c.parked, 0)::bigint as parked,
       coalesce(c.stream_types, '{}') as stream_types, coalesce(c.partitions, '{}') as partitions,
       coalesce(c.positions, '{}') as positions
from projections.projections p
cross join lateral (
    select sum(c.parked) as parked, array_agg(c.stream_type::text) as stream_types,
           array_agg(c.partition) as partitions, array_agg(c.position) as positions
    from projections.checkpoints c
    where c.projection = p.projection and c.generation = p.live_generation
) c
where p.projection = $1
