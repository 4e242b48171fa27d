-- One API key ($1).
select k.key_id, k.name, k.roles, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
from log.api_keys k
where k.key_id = $1
