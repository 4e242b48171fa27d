-- Stands in for a rebuild of `orders`: the same rows as generation 2, which is live then.
insert into projections.generations
select projection, 2, 'projection_orders_2', version, fingerprint, folder
from projections.generations where projection = 'orders';
create schema projection_orders_2;
create table projection_orders_2.orders as select * from projection_orders_1.orders;
grant usage on schema projection_orders_2 to annals_reader;
grant select on all tables in schema projection_orders_2 to annals_reader;
insert into projections.checkpoints
select projection, 2, stream_type, partition, position, next_offset, topic_id, log_id
from projections.checkpoints where projection = 'orders';
update projections.projections set live_generation = 2 where projection = 'orders';
