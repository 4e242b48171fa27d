-- The last position; 0 where there is none.
select coalesce(max(position), 0) from log.events
