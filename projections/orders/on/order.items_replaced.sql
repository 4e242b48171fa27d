update orders o
set items = e.data -> 'items', total = (e.data ->> 'total')::numeric, updated_at = e.recorded_at, version = e.version
from events e
where o.id = e.stream_id
