-- Takes the lock of those who compare topics with the log, if nobody has it; it ends with the session.
select pg_try_advisory_lock(hashtext('annals'), hashtext('reconcile'))
