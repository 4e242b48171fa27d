update orders o
set status = 'confirmed', updated_at = e.recorded_at, version = e.version
from events e
where o.id = e.stream_id
