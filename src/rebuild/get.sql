-- A rebuild by its id ($1).
select to_jsonb(r) - 'folder' from projections.rebuilds r where r.id = $1
