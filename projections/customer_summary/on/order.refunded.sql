update customer_summary s
set refunded = s.refunded + d.refunded
from (
    select o.customer_id, sum((e.data ->> 'amount')::numeric) as refunded
    from events e
    join customer_orders o on o.order_id = e.stream_id
    group by o.customer_id
) d
where s.customer_id = d.customer_id
