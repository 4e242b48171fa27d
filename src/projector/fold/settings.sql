-- The session of a fold, until its transaction ends: the least rights, and an end to a transaction whose worker has
-- fallen silent ($1), so that a stopped process does not keep its partitions.
select set_config('role', 'annals_projector', true), set_config('idle_in_transaction_session_timeout', $1, true)
