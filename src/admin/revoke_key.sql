-- Revokes the key $1; the first time counts.
update log.api_keys set revoked_at = clock_timestamp() where key_id = $1 and revoked_at is null
