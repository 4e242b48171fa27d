update projects p
set name = e.data ->> 'name', description = e.data ->> 'description', updated_at = e.recorded_at, version = e.version
from events e
where p.id = e.stream_id
