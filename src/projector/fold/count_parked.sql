-- How many events a generation ($1 projection, $2 number) has parked. Walks the primary key; they are bounded.
select count(*) from projections.parked p where p.projection = $1 and p.generation = $2
