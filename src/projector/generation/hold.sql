-- Waits until nobody folds a projection ($1), and lets nobody begin until the transaction ends, which it does too when its
-- process falls silent. Workers take a share in this lock before they lock anything else.
select set_config('idle_in_transaction_session_timeout', '30s', true),
       pg_advisory_xact_lock(hashtextextended('annals.fold.' || $1::text, 0))
