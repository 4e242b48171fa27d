-- One event at a time: what comes after an order's creation. $1 id, $2 status, $3 amount, $4 when, $5 version.
update bench.one_by_one
set status = $2, paid = coalesce($3::text::numeric, paid), updated_at = $4, version = $5
where id = $1
