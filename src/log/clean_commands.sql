-- Deletes answered commands older than $1 seconds, at most $2.
select log.clean_commands(make_interval(secs => $1), $2)
