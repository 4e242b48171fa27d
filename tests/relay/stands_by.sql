-- Whether a relay of this database asked for the lease last and did not get it: who has it renews it.
select exists (
    select from pg_stat_activity a
    where a.datname = current_database() and a.application_name = 'annals' and a.query like '%select log.lease_take(%'
      and a.pid <> pg_backend_pid() and a.state = 'idle'
)
