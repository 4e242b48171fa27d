-- The event at a position ($1). One probe of events_pkey.
select position, stream_type, stream_id, version, event_id, event_type, schema_version, data, metadata, recorded_at
from log.events
where position = $1
