-- One process at a time makes generations of a projection ($1 name). Ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('annals.projection.' || $1::text, 0))
