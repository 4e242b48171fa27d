-- Stops a projection ($1) with the reason ($2), until somebody takes it away; unless another generation than $3 serves by now,
-- which the reason is not about.
update projections.projections set stopped = $2 where projection = $1 and live_generation = $3
