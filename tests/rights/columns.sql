-- Every table and view of ours, with its columns in their order.
select n.nspname || '.' || c.relname, a.attname::text
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid
where n.nspname in ('log', 'projections') and c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped
order by n.nspname || '.' || c.relname, a.attnum
