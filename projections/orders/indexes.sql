-- A customer's orders, newest first, which is also the way to those of one status.
create index orders_customer on orders (customer_id, created_at, id);
create index orders_created_at on orders (created_at, id);
create index orders_total on orders (total, id);
