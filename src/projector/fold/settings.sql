-- The session of a fold of a projection ($2), until its transaction ends: the least rights, an end to a transaction whose
-- worker has fallen silent ($1), so that a stopped process does not keep its partitions, and a share in the lock that
-- whoever changes the generations takes alone. So the live generation, and with it the order in which workers lock
-- checkpoints, is the same for all who fold at one time.
select
    set_config('role', 'annals_projector', true),
    set_config('idle_in_transaction_session_timeout', $1, true),
    pg_advisory_xact_lock_shared(hashtextextended('annals.fold.' || $2::text, 0))
