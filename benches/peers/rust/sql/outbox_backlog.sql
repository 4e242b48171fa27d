-- Fills the outbox. $1 rows, $2 data. Ten to a transaction would change nothing for a reader of the log.
insert into outbox (id, aggregatetype, aggregateid, type, payload)
select id, 'order', id::text, 'order.created', $2 from (select gen_random_uuid() as id from generate_series(1, $1::int)) ids
