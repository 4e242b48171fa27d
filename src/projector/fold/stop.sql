-- Stops a projection ($1) with the reason ($2), until somebody takes it away.
update projections.projections set stopped = $2 where projection = $1
