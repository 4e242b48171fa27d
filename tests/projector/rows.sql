-- Every row of every table of a schema ($1) as text, in an order of its own.
select c.relname || ' ' || x.row::text
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(xpath('/table/row/r/text()',
    query_to_xml(format('select to_jsonb(t) as r from %I.%I t', n.nspname, c.relname), false, false, ''))) as x (row)
where n.nspname = $1 and c.relkind = 'r'
order by 1
