-- What a rebuild of a projection ($1) would take: the rate of the last one that came to its end unthrottled (of any other, where
-- there is none), and the size of the generation that serves.
select (
        select r.events_per_second
        from projections.rebuilds r
        where r.events_per_second > 0
        order by r.state = 'done' and r.max_events_per_second is null desc, r.projection = $1 desc, r.created_at desc
        limit 1
    ),
    coalesce((
        select sum(pg_total_relation_size(c.oid))
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = g.schema_name and c.relkind = 'r'
    ), 0)::bigint
from projections.projections p
join projections.generations g on g.projection = p.projection and g.generation = p.live_generation
where p.projection = $1
