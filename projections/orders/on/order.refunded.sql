-- A partial refund leaves the status.
update orders o
set status = case when (e.data ->> 'in_full')::boolean then 'refunded' else o.status end,
    refunded = o.refunded + (e.data ->> 'amount')::numeric,
    updated_at = e.recorded_at, version = e.version
from events e
where o.id = e.stream_id
