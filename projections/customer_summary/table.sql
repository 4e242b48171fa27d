-- `total` is of all orders, the cancelled ones included.
create table customer_summary (
    customer_id text          primary key,
    orders      bigint        not null,
    total       numeric(38,2) not null,
    cancelled   bigint        not null default 0,
    refunded    numeric(38,2) not null default 0
) with (fillfactor = 70);

-- Whose an order is and what it counts for: later events do not say.
create table customer_orders (
    order_id    uuid          primary key,
    customer_id text          not null,
    total       numeric(16,2) not null
) with (fillfactor = 90);
