-- The log's head, and the age in seconds of the oldest event that was not relayed yet (0: none). Two probes of
-- events_pkey.
select (select coalesce(max(e.position), 0) from log.events e),
       coalesce((
           select greatest(extract(epoch from clock_timestamp() - e.recorded_at), 0)::double precision
           from log.events e
           where e.position = (select o.cursor + 1 from log.outbox o)), 0)
