-- Whether somebody waits for an advisory lock in this database.
select exists (
    select from pg_locks l
    join pg_database d on d.oid = l.database
    where d.datname = current_database() and l.locktype = 'advisory' and not l.granted
)
