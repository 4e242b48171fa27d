-- Every function of ours, with a call of it.
select n.nspname || '.' || p.proname,
       format('select %I.%I(%s)', n.nspname, p.proname, (
           select coalesce(string_agg(format('null::%s', format_type(t.type, null)), ', ' order by t.n), '')
           from unnest(p.proargtypes::oid[]) with ordinality as t (type, n)))
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('log', 'projections')
order by 1
