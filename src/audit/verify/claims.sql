-- Which of these claims ($1 scopes, $2 values, $3 stream types, $4 stream ids) are not stored for their stream. One
-- probe of claims_pkey each.
select c.scope, c.stream_id
from unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) as c (scope, value, stream_type, stream_id)
where not exists (
    select from log.claims h
    where h.scope = c.scope and h.value = c.value and h.stream_id = c.stream_id and h.stream_type = c.stream_type
)
