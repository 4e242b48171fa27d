-- What keeps the log append-only and is not as it was made, a row each: the triggers that refuse every change, always on, and
-- rights that nobody but the owner has. It tells of now only: whoever may change them may also have changed them back.
select format('the trigger that refuses changes of log.%s is gone or switched off', g.name)
from unnest(array['events', 'access']) as g (name)
where not exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = to_regclass('log.' || g.name) and t.tgname = 'refuse_change' and t.tgenabled = 'A'
      and t.tgfoid = to_regproc('log.refuse_change')
      -- Before UPDATE, DELETE and TRUNCATE, for each statement (pg_trigger.h), of all columns and without a condition.
      and t.tgtype = 2 + 16 + 8 + 32 and t.tgqual is null and t.tgattr = ''
)
union all
select format('%s may %s log.events', case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end, lower(a.privilege_type))
from pg_catalog.pg_class c, lateral (
    select a.grantee, a.privilege_type from aclexplode(c.relacl) a
    union
    select a.grantee, a.privilege_type
    from pg_catalog.pg_attribute t, aclexplode(t.attacl) a
    where t.attrelid = c.oid and t.attacl is not null
) a
where c.oid = to_regclass('log.events') and a.grantee <> c.relowner and a.privilege_type <> 'SELECT'
order by 1
