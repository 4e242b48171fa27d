-- The transaction ends when its process falls silent.
select set_config('idle_in_transaction_session_timeout', '30s', true)
