-- The tables of two schemas ($1, $2), and whether each has them.
select c.relname::text, bool_or(n.nspname = $1), bool_or(n.nspname = $2)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname in ($1, $2) and c.relkind in ('r', 'p') and not c.relispartition
group by c.relname
order by c.relname
