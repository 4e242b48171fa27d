-- Notes the generation ($2) that a rebuild ($1) made.
update projections.rebuilds set generation = $2 where id = $1
