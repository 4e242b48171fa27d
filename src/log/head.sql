-- The last position; 0 while the log is empty. One probe of events_pkey.
select coalesce(max(position), 0) from log.events
