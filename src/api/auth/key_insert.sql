-- Keeps a new API key.
--   $1 id  $2 SHA-256 of the key  $3 name  $4 roles  $5 expiry, null for none
insert into log.api_keys (key_id, key_hash, name, roles, expires_at)
values ($1, $2, $3, $4, $5)
returning key_id, name, roles, created_at, expires_at, last_used_at, revoked_at
