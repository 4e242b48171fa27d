-- The rebuilds of a projection ($1; null: of all), newest first, before one of them ($2; null: from the newest on), at most $3.
select to_jsonb(r) - 'folder'
from projections.rebuilds r
where ($1::text is null or r.projection = $1)
    and ($2::uuid is null or (r.created_at, r.id) < (select b.created_at, b.id from projections.rebuilds b where b.id = $2))
order by r.created_at desc, r.id desc
limit $3
