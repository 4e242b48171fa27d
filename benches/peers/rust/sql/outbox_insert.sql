-- One event. $1 id, which is the record's key too, $2 data.
insert into outbox (id, aggregatetype, aggregateid, type, payload) values ($1, 'order', $1::text, 'order.created', $2)
