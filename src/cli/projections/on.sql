-- `events` holds at most one event of each stream: position, stream_id, version, event_id, data, metadata, recorded_at.
insert into "{{name}}" as t (id, version)
select e.stream_id, e.version
from events e
on conflict (id) do update set version = excluded.version
