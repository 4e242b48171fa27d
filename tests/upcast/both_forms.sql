insert into lamps as l (id, state, brightness, version)
select e.stream_id,
       coalesce(e.data ->> 'state', case when (e.data ->> 'on')::boolean then 'on' else 'off' end),
       coalesce((e.data ->> 'brightness')::bigint, 10),
       e.version
from events e
on conflict (id) do update set state = excluded.state, brightness = excluded.brightness, version = excluded.version
