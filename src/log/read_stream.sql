-- Events of one stream ($1 type, $2 id) after a version ($3), in order, at most $4. Walks events_stream_version.
select position, stream_type, stream_id, version, event_id, event_type, schema_version, data, metadata, recorded_at
from log.events
where stream_id = $2 and stream_type = $1 and version > $3
order by version
limit $4
