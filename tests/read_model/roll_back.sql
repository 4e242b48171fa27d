-- Generation 1 is live again, and generation 2 is dropped at once.
update projections.projections set live_generation = 1 where projection = 'orders';
delete from projections.checkpoints where projection = 'orders' and generation = 2;
delete from projections.generations where projection = 'orders' and generation = 2;
drop schema projection_orders_2 cascade;
