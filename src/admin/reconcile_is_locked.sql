-- Whether somebody compares topics with the log. Two numbers of 32 bits, so that pg_locks shows them as they are.
select exists (
    select from pg_catalog.pg_locks l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 2
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and l.classid = hashtext('annals')::oid and l.objid = hashtext('reconcile')::oid
)
