-- The log's one row of identity.
select log_id, hash_key from log.identity
