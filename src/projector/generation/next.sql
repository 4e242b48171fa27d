-- A number that no generation of a projection ($1) has or had; under the projection's lock.
select coalesce(greatest(
    (select max(g.generation) from projections.generations g where g.projection = $1),
    (select max(r.generation) from projections.rebuilds r where r.projection = $1),
    (select d.generation from projections.dropped d where d.projection = $1)
), 0) + 1
