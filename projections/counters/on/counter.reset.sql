update counters c
set counter = 0, version = e.version
from events e
where c.id = e.stream_id
