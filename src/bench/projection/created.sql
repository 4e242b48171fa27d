-- One event at a time: an order's creation. $1 position.
insert into bench.one_by_one (id, customer_id, status, total, items, external_id, created_at, updated_at, version)
select e.stream_id, e.data ->> 'customer_id', 'created', (e.data ->> 'total')::numeric, e.data -> 'items',
       e.data ->> 'external_id', e.recorded_at, e.recorded_at, e.version
from log.events e
where e.position = $1
