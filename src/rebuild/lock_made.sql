-- Locks a projection ($1) that was made at $2 (RFC 3339), so that nobody begins to rebuild it; nothing where it was made at
-- another time. Probes the primary key.
select from projections.projections p
where p.projection = $1 and p.created_at = $2::text::timestamptz
for update
