-- Customers whose summary is not what their orders say.
select s.customer_id
from projection_customer_summary_1.customer_summary s
full join (
    select o.customer_id, count(*) as orders, sum(o.total) as total, sum(o.refunded) as refunded,
           count(*) filter (where o.status = 'cancelled') as cancelled
    from projection_orders_1.orders o
    group by o.customer_id
) o using (customer_id)
where (s.orders, s.total, s.refunded, s.cancelled) is distinct from (o.orders, o.total, o.refunded, o.cancelled)
