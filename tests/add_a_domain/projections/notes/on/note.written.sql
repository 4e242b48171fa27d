insert into notes (id, text, archived, version)
select e.stream_id, e.data ->> 'text', false, e.version
from events e
