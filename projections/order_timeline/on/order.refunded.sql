insert into order_timeline (position, order_id, version, at, actor, what)
select e.position, e.stream_id, e.version, e.recorded_at, e.metadata ->> 'actor',
       format('Refunded %s%s: %s', e.data ->> 'amount', case when (e.data ->> 'in_full')::boolean then ' in full' else '' end, e.data ->> 'reason')
from events e
