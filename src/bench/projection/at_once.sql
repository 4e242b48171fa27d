-- The limit: the same rows by one statement over the whole log, written by hand for this very case.
insert into bench.at_once (id, customer_id, status, total, paid, items, external_id, created_at, updated_at, version)
select e.stream_id, min(e.data ->> 'customer_id'), split_part((array_agg(e.event_type order by e.version desc))[1], '.', 2),
       max((e.data ->> 'total')::numeric), coalesce(max((e.data ->> 'amount')::numeric), 0),
       (array_agg(e.data -> 'items' order by e.version))[1], min(e.data ->> 'external_id'), min(e.recorded_at),
       max(e.recorded_at), max(e.version)
from log.events e
where e.stream_type = 'order'
group by e.stream_id
