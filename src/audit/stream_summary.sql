-- What the stream $1 (type) $2 (id) comes to; no row where it has no event. Two probes of events_stream_version.
select last.stream_type, last.stream_id, last.version, first.position, last.position, first.recorded_at,
       last.recorded_at
from (
    select * from log.events e where e.stream_id = $2 and e.stream_type = $1 order by e.version desc limit 1
) last
cross join (
    select * from log.events e where e.stream_id = $2 and e.stream_type = $1 order by e.version limit 1
) first
