-- When a projection ($1) was made (RFC 3339). Probes the primary key.
select to_jsonb(p.created_at) #>> '{}' from projections.projections p where p.projection = $1
