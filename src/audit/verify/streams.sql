-- Events stream by stream, after the one of stream $1 with version $2 and type $3, at most $4. Walks
-- events_stream_version.
select stream_id, version, stream_type, position, event_type, schema_version, data
from log.events
where (stream_id, version, stream_type) > ($1, $2, $3)
order by stream_id, version, stream_type
limit $4
