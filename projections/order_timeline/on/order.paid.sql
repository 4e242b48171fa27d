insert into order_timeline (position, order_id, version, at, actor, what)
select e.position, e.stream_id, e.version, e.recorded_at, e.metadata ->> 'actor',
       format('Paid %s (%s)', e.data ->> 'amount', e.data ->> 'reference')
from events e
