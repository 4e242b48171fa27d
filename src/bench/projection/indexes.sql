-- The indexes of the orders.
alter table bench.at_once add primary key (id);
create index on bench.at_once (customer_id, created_at, id);
create index on bench.at_once (created_at, id);
create index on bench.at_once (total, id);
