insert into order_timeline (position, order_id, version, at, actor, what)
select e.position, e.stream_id, e.version, e.recorded_at, e.metadata ->> 'actor',
       format('Items replaced: %s lines, %s in total', jsonb_array_length(e.data -> 'items'), e.data ->> 'total')
from events e
