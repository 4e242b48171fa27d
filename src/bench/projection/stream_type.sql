-- The stream type of the orders.
insert into log.stream_types (stream_type, partitions) values ('order', $1)
