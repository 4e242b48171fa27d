-- Deletes up to `most` answered commands that are older than `keep`, the oldest first, never a pending one; returns how many.
-- Few at a time, so that no lock is held and no flush is large. One cleaner at a time: another one finds nothing to do.
create function log.clean_commands(keep interval, most integer) returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set enable_seqscan = off
as $$
declare
    deleted integer;
begin
    if not pg_try_advisory_xact_lock(log.append_lock() + 1) then
        return 0;
    end if;
    delete from log.commands c
    using (
        select o.command_id from log.commands o
        where o.recorded_at < clock_timestamp() - keep and o.status <> 'pending'
        order by o.recorded_at
        limit most
    ) old
    where c.command_id = old.command_id;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;

revoke execute on function log.clean_commands(interval, integer) from public;
grant execute on function log.clean_commands(interval, integer) to annals_writer;
