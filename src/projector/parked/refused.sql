-- Notes why an event ($1 projection, $2 generation, $3 position) cannot be folded now: $4 statement, $5 SQLSTATE, $6 error.
update projections.parked k
set statement = $4, sqlstate = $5, error = $6, at = clock_timestamp()
where k.projection = $1 and k.generation = $2 and k.position = $3
