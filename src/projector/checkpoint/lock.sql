-- Locks the checkpoints of partitions ($2, $3) of a projection ($1), always in the same order (the live generation's
-- first, as a worker that chooses its partitions does), so that two workers wait for each other and do not deadlock.
-- $4 whether in the generations that follow, $5 a generation that does not follow, beside or instead.
select c.generation, c.stream_type, c.partition, c.position
from projections.checkpoints c
join projections.generations g on g.projection = c.projection and g.generation = c.generation
join projections.projections p on p.projection = c.projection
where c.projection = $1 and (g.follows and $4 or not g.follows and c.generation = $5)
  and (c.stream_type, c.partition) in (select w.stream_type, w.partition from unnest($2::text[], $3::integer[]) as w (stream_type, partition))
order by c.stream_type, c.partition, c.generation <> p.live_generation, c.generation
for no key update of c
