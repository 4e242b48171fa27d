-- One process at a time makes generations of a projection ($1 name). Ends with the transaction, which ends too when its
-- process falls silent.
select set_config('idle_in_transaction_session_timeout', '30s', true),
       pg_advisory_xact_lock(hashtextextended('annals.projection.' || $1::text, 0))
