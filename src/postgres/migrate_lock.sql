-- One migration at a time in this database; the lock ends with the session. The key is 'migrate' in ASCII.
select pg_advisory_lock(30796665482998885)
