-- The columns of a table ($2 of schema $1) that may name a stream.
select a.attname::text
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped
  and a.atttypid in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
order by a.attnum
