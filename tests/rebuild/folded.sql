-- Whether so many events ($1) are passed by each of the four models that read them.
select count(*) = 4
from (
    select p.projection
    from projections.projections p
    join projections.checkpoints c on c.projection = p.projection and c.generation = p.live_generation
    group by p.projection
    having sum(c.applied + c.ignored) = $1::bigint
) f
