-- One event at a time: an order's creation. $1 id, $2 customer, $3 total, $4 items, $5 external id, $6 when, $7 version.
insert into bench.one_by_one (id, customer_id, status, total, items, external_id, created_at, updated_at, version)
values ($1, $2, 'created', $3::text::numeric, $4, $5, $6, $6, $7)
