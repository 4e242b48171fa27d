-- Makes the key that an event tells of: $1 id, $2 its SHA-256 in hexadecimal, $3 name, $4 roles, $5 expiry. Once.
insert into log.api_keys (key_id, key_hash, name, roles, expires_at)
values ($1, decode($2, 'hex'), $3, $4, $5)
on conflict (key_id) do nothing
