with created as (
    insert into customer_orders (order_id, customer_id, total)
    select e.stream_id, e.data ->> 'customer_id', (e.data ->> 'total')::numeric
    from events e
    returning customer_id, total
)
insert into customer_summary as s (customer_id, orders, total)
select c.customer_id, count(*), sum(c.total)
from created c
group by c.customer_id
on conflict (customer_id) do update
    set orders = s.orders + excluded.orders, total = s.total + excluded.total
