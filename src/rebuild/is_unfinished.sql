-- Whether a rebuild of a projection ($1) has not ended. Probes rebuilds_unfinished.
select exists (
    select from projections.rebuilds r
    where r.projection = $1 and r.state not in ('done', 'failed', 'cancelled')
)
