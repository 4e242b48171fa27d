-- Takes away the reason why a projection ($1) stands still.
update projections.projections set stopped = null where projection = $1 and stopped is not null
