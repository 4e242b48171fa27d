-- Takes the relay's lease for `holder` when it is free or has expired; returns its epoch, or null while another holds
-- it. The epoch grows with each new holder, so that a former one's writes are told apart. A row and the database's
-- clock, not a session's lock: a stopped process keeps its session, and so its lock, for as long as it is stopped.
create function log.lease_take(holder text, ttl interval) returns bigint
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    update log.outbox o
    set holder = $1, epoch = o.epoch + 1, expires_at = clock_timestamp() + $2
    where o.expires_at <= clock_timestamp()
    returning o.epoch
$$;

revoke execute on function log.lease_take(text, interval) from public;
grant execute on function log.lease_take(text, interval) to annals_writer;
