-- Undoes what was tried, and lets the transaction go on.
rollback to savepoint trial;
release savepoint trial
