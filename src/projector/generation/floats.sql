-- What is wrong with floats in a file ($1): functions that are called in it and give one, of all that a name may mean the one
-- that Postgres chose. Looks into the trees that it keeps of the tables' expressions (table.sql), else of the statement that
-- was understood. A cast that Postgres puts in itself is no call (`funcformat`): it is for functions that take a float.
with trees as (
    select d.adbin::text as tree
    from pg_catalog.pg_attrdef d
    join pg_catalog.pg_class c on c.oid = d.adrelid
    where $1 = 'table.sql' and c.relnamespace = current_schema()::regnamespace
    union all
    select p.prosqlbody::text
    from pg_catalog.pg_proc p
    where p.pronamespace = current_schema()::regnamespace
)
select distinct format('`%s` gives a float here, which rounds: %s', p.proname,
                       case p.proname when 'date_part' then 'use `extract`' else 'give it `numeric`' end)
from trees t
cross join lateral regexp_matches(
    t.tree,
    ':(?:funcid|aggfnoid|winfnoid) (\d+) :(?:funcresulttype|aggtype|wintype) (\d+)(?: :funcretset \S+ :funcvariadic \S+ :funcformat (\d))?',
    'g'
) as m (call)
join pg_catalog.pg_proc p on p.oid = call[1]::oid
where call[2]::oid in ('float4'::regtype, 'float8'::regtype) and coalesce(call[3], '0') = '0'
order by 1
