insert into lamps as l (id, state, brightness, version)
select e.stream_id, e.data ->> 'state', (e.data ->> 'brightness')::bigint, e.version
from events e
on conflict (id) do update set state = excluded.state, brightness = excluded.brightness, version = excluded.version
