-- The kept state of a stream ($1 type, $2 id) with its event, if this revision ($3) wrote it and the event is there.
-- Probes snapshots_pkey and events_stream_version.
select s.version, e.event_id, s.state
from log.snapshots s
join log.events e on e.stream_id = s.stream_id and e.stream_type = s.stream_type and e.version = s.version
where s.stream_id = $2 and s.stream_type = $1 and s.revision = $3
