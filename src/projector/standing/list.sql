-- How each projection stands: whether an event stopped it, whether an admin paused it, how old the generation that serves is in
-- seconds, how many events that has parked, and the state of the newest rebuild. Walks the primary key of what is parked,
-- which is bounded; projections and their rebuilds are few.
select p.projection, p.stopped is not null, p.paused,
       extract(epoch from clock_timestamp() - g.created_at)::float8,
       (select count(*) from projections.parked k
        where k.projection = p.projection and k.generation = p.live_generation),
       (select r.state from projections.rebuilds r
        where r.projection = p.projection
        order by r.created_at desc
        limit 1)
from projections.projections p
join projections.generations g on g.projection = p.projection and g.generation = p.live_generation
