update notes n
set archived = true, version = e.version
from events e
where n.id = e.stream_id
