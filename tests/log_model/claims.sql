-- Who holds what of a scope ($1).
select value, stream_id from log.claims where scope = $1
