-- One transaction at a time writes the rows of a generation ($1 its schema), where rows gather several streams: the
-- order of keys inside a statement does not keep the statements of several waves from deadlocking.
select pg_advisory_xact_lock(hashtextextended('annals.rows.' || $1::text, 0))
