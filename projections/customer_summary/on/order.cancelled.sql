update customer_summary s
set cancelled = s.cancelled + d.cancelled
from (
    select o.customer_id, count(*) as cancelled
    from events e
    join customer_orders o on o.order_id = e.stream_id
    group by o.customer_id
) d
where s.customer_id = d.customer_id
