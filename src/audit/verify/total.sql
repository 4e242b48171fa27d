-- The end of the log. One probe of events_pkey.
select coalesce(max(position), 0) from log.events
