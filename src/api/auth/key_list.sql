-- All API keys, oldest first. People make them by hand, so there are few; the bound is against surprises.
select k.key_id, k.name, k.roles, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
from log.api_keys k
order by k.created_at, k.key_id
limit 10000
