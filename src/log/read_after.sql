-- Events after a position ($1), in the log's order, of these stream types ($2; null: all), at most $3.
-- Walks events_pkey.
select position, stream_type, stream_id, version, event_id, event_type, schema_version, data, metadata, recorded_at
from log.events
where position > $1 and ($2::text[] is null or stream_type = any ($2))
order by position
limit $3
