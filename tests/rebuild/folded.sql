-- Whether every model that reads orders has passed so many events ($1); there are four at least.
select count(*) >= 4 and bool_and(f.passed = $1::bigint)
from (
    select sum(c.applied + c.ignored + c.parked) as passed
    from projections.projections p
    join projections.checkpoints c on c.projection = p.projection and c.generation = p.live_generation
    where c.stream_type = 'order'
    group by p.projection
) f
