-- Waits until nobody folds a projection ($1), and lets nobody begin until the transaction ends. Workers take a share in
-- this lock before they lock anything else.
select pg_advisory_xact_lock(hashtextextended('annals.fold.' || $1::text, 0))
