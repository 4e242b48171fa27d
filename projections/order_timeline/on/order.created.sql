insert into order_timeline (position, order_id, version, at, actor, what)
select e.position, e.stream_id, e.version, e.recorded_at, e.metadata ->> 'actor',
       format('Ordered by %s: %s lines, %s in total', e.data ->> 'customer_id', jsonb_array_length(e.data -> 'items'), e.data ->> 'total')
from events e
