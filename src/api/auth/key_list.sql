-- API keys after one of them ($1; null: from the first on), oldest first, at most $2.
select k.key_id, k.name, k.roles, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
from log.api_keys k
where $1::uuid is null
    or (k.created_at, k.key_id) > (select a.created_at, a.key_id from log.api_keys a where a.key_id = $1)
order by k.created_at, k.key_id
limit $2
