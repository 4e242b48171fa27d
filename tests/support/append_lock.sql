-- Keeps everybody from appending until the transaction's end.
select pg_advisory_xact_lock(log.append_lock());
