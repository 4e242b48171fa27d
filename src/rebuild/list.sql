-- The rebuilds of a projection ($1; null: of all), newest first.
select to_jsonb(r) - 'folder'
from projections.rebuilds r
where $1::text is null or r.projection = $1
order by r.created_at desc
