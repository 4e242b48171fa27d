-- Whether the order $1 can be read.
select exists (select from projection_orders_1.orders o where o.id = $1)
