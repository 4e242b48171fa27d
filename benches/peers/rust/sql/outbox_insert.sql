-- One event. $1 id, which is the record's key too, $2 data.
insert into outbox (id, aggregatetype, aggregateid, type, payload) values ($1::uuid, 'order', ($1::uuid)::text, 'order.created', $2)
