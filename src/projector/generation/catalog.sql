-- What the catalog has against a generation's tables ($1 their schema) and against the functions that its folder calls
-- ($2 files, $3 names): one row per fault, with its file. Before the generation is committed.
with own as (
    select c.oid, c.relname, c.relpersistence
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relkind in ('r', 'p')
)
select 'table.sql', format('column `%s` of `%s` is a float: it rounds, use `numeric`', a.attname, o.relname)
from own o
join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
where 'float4'::regtype in (t.oid, t.typelem, t.typbasetype) or 'float8'::regtype in (t.oid, t.typelem, t.typbasetype)
union all
select 'table.sql', format('`%s` is deferred: it has to refuse an event where the event is folded', k.conname)
from own o
join pg_catalog.pg_constraint k on k.conrelid = o.oid
where k.condeferred
union all
select 'table.sql', format('`%s` has to outlive a crash', o.relname)
from own o
where o.relpersistence <> 'p'
union all
select c.file, format(case when c.file like 'queries/%' then '`%s` is volatile: a query only reads'
                           else '`%s` is volatile: another fold of the same events would differ' end, c.name)
from unnest($2::text[], $3::text[]) as c (file, name)
where exists (
    select from pg_catalog.pg_proc p
    where p.proname = c.name and p.provolatile = 'v' and pg_catalog.pg_function_is_visible(p.oid)
)
order by 1, 2
