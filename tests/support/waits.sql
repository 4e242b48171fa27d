-- Whether a statement of this database that holds this text waits for a lock.
--   $1 the text
select exists (
    select from pg_stat_activity a
    where a.datname = current_database()
      and a.wait_event_type = 'Lock'
      and position($1 in a.query) > 0
)
