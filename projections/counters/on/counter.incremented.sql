update counters c
set counter = c.counter + (e.data ->> 'by')::bigint, version = e.version
from events e
where c.id = e.stream_id
