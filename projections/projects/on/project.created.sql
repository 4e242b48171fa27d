insert into projects (id, name, description, created_at, updated_at, version)
select e.stream_id, e.data ->> 'name', e.data ->> 'description', e.recorded_at, e.recorded_at, e.version
from events e
