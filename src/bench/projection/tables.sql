-- The orders' table for the two other ways, with the folder's columns.
create schema bench;
create table bench.one_by_one (like projection_orders_1.orders including all) with (fillfactor = 40);
create table bench.handled as select 0::bigint as position;
create table bench.at_once (like projection_orders_1.orders including defaults including constraints including storage);
