-- Makes the relay begin anew: whoever holds the lease finds at the next renewal that it is lost. Its time is left as it
-- is, so that nobody else relays before the holder must have noticed.
create function log.lease_revoke() returns void
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    update log.outbox o set holder = null, epoch = o.epoch + 1
$$;

revoke execute on function log.lease_revoke() from public;
grant execute on function log.lease_revoke() to annals_writer;
