-- Whether somebody waits for the append under way.
select exists (
    select from pg_locks l
    where l.locktype = 'advisory' and not l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
)
