-- Lengthens the lease of the holder with this epoch; false when it is no longer the holder, expired or not: once the
-- time is over somebody else may have acted on that. A ttl of zero gives the lease back.
create function log.lease_renew(holder text, epoch bigint, ttl interval) returns boolean
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    with renewed as (
        update log.outbox o
        set expires_at = clock_timestamp() + $3
        where o.holder = $1 and o.epoch = $2 and o.expires_at > clock_timestamp()
        returning true
    )
    select exists (select from renewed)
$$;

revoke execute on function log.lease_renew(text, bigint, interval) from public;
grant execute on function log.lease_renew(text, bigint, interval) to annals_writer;
