-- Rows that the folder and the hand-written statement do not have alike.
select count(*) from (select * from projection_orders_1.orders except select * from bench.at_once) d
