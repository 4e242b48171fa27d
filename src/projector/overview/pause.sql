-- Lets the workers of a projection ($1) stand still, or ($2 false) go on, also where they had stopped.
update projections.projections set paused = $2, stopped = case when $2 then stopped end where projection = $1
