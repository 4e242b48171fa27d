-- The cleaning of answered commands, by the index of their age: a comparison with a volatile function cannot end the scan
-- of an index (PostgreSQL documentation, 38.7), so each round read all commands that are kept.
create or replace function log.clean_commands(keep interval, most integer) returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set enable_seqscan = off
as $$
declare
    oldest  timestamptz := clock_timestamp() - keep;
    deleted integer;
begin
    if not pg_try_advisory_xact_lock(log.append_lock() + 1) then
        return 0;
    end if;
    delete from log.commands c
    using (
        select o.command_id from log.commands o
        where o.recorded_at < oldest and o.status <> 'pending'
        order by o.recorded_at
        limit most
    ) old
    where c.command_id = old.command_id;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
