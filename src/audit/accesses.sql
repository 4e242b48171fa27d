-- Looks at the audit before the id $1, newest first, by $2 (null: anyone), at most $3. Walks access_pkey backwards; the
-- time of the statement is bounded.
select a.access_id, json_build_object('access_id', a.access_id, 'accessed_at', a.accessed_at, 'actor', a.principal,
                                      'method', a.method, 'target', a.target, 'correlation_id', a.correlation_id)
from log.access a
where a.access_id < $1 and ($2::text is null or a.principal = $2)
order by a.access_id desc
limit $3
