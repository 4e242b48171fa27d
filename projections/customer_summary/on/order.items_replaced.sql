with changed as (
    select o.order_id, o.customer_id, (e.data ->> 'total')::numeric as total, (e.data ->> 'total')::numeric - o.total as difference
    from events e
    join customer_orders o on o.order_id = e.stream_id
), kept as (
    update customer_orders o set total = c.total from changed c where o.order_id = c.order_id
)
update customer_summary s
set total = s.total + d.difference
from (select c.customer_id, sum(c.difference) as difference from changed c group by c.customer_id) d
where s.customer_id = d.customer_id
