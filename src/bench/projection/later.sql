-- One event at a time: what comes after an order's creation. $1 position.
update bench.one_by_one o
set status = split_part(e.event_type, '.', 2), paid = coalesce((e.data ->> 'amount')::numeric, o.paid),
    updated_at = e.recorded_at, version = e.version
from log.events e
where e.position = $1 and o.id = e.stream_id
