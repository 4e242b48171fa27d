-- Forgets a projection ($1), with its checkpoints, what it has parked and its rebuilds, which go with it, but for the
-- highest number of a generation that it had; returns the schemas of its generations. All parts see it as it was before.
with kept as (
    insert into projections.dropped (projection, generation)
    select $1, greatest(
        (select max(g.generation) from projections.generations g where g.projection = $1),
        (select max(r.generation) from projections.rebuilds r where r.projection = $1)
    )
    on conflict (projection) do update set generation = excluded.generation
), forgotten as (
    delete from projections.projections p where p.projection = $1
)
delete from projections.generations g where g.projection = $1
returning g.schema_name
