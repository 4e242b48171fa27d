-- The key with this hash, if it works now, and a note that it was used: at most one write a minute, so that a busy key
-- does not make its row a hot spot. Uses the unique index on key_hash. The comparison is of hashes of random keys:
-- its time tells nothing of a key.
--   $1 SHA-256 of the key
with used as (
    update log.api_keys
    set last_used_at = clock_timestamp()
    where key_hash = $1
      and revoked_at is null
      and (expires_at is null or expires_at > clock_timestamp())
      and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')
)
select k.key_id, k.roles
from log.api_keys k
where k.key_hash = $1
  and k.revoked_at is null
  and (k.expires_at is null or k.expires_at > clock_timestamp())
