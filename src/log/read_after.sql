-- Events after a position ($1), in the log's order, of these stream types ($2; null: all), at most $3, found among so many ($4).
-- Walks events_pkey; the inner limit is where it ends, for with a second bound on the position the planner expects few rows, and
-- sorts.
select e.position, e.stream_type, e.stream_id, e.version, e.event_id, e.event_type, e.schema_version, e.data, e.metadata,
       e.recorded_at
from (select * from log.events where position > $1 order by position limit $4) e
where $2::text[] is null or e.stream_type = any ($2)
order by e.position
limit $3
