-- The orders as they were before anything was folded, in one transaction.
begin;
delete from projection_orders_1.orders;
update projections.checkpoints set position = 0, applied = 0, ignored = 0, parked = 0 where projection = 'orders';
commit
