-- The time up to which all is recorded: what was recorded before it can be seen, and nothing more will be, unless the clock
-- is set back. An append takes its time under the append's lock and can be seen before it gives the lock back; so this
-- waits for the one under way, and reads the clock. Called in a transaction of its own, whose end gives the lock back.
create function log.settled() returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set lock_timeout = '5s'
as $$
begin
    perform pg_advisory_xact_lock_shared(log.append_lock());
    return clock_timestamp();
end
$$;

revoke execute on function log.settled() from public;
grant execute on function log.settled() to annals_reader;
