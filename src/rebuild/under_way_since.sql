-- Whether a rebuild of a projection ($1) was under way at or after a time ($2).
select exists (
    select from projections.rebuilds r where r.projection = $1 and (r.ended_at is null or r.ended_at >= $2)
)
