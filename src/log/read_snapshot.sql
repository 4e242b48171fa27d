-- The kept state of a stream ($1 type, $2 id), if this revision ($3) wrote it and its event is there. Probes
-- snapshots_pkey and events_stream_version.
select s.version, s.state
from log.snapshots s
where s.stream_id = $2 and s.stream_type = $1 and s.revision = $3
  and exists (select from log.events e
              where e.stream_id = s.stream_id and e.stream_type = s.stream_type and e.version = s.version)
