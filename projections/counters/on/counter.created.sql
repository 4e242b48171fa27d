insert into counters (id, counter, version)
select e.stream_id, 0, e.version
from events e
