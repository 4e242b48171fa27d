-- Holds the projection $1, or lets it go on ($2 false). Its workers look before each batch.
update projections.projections set paused = $2 where projection = $1
