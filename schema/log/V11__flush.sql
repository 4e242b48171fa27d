-- Returns the last position, and has the disk hold all that the caller sees once the caller's transaction is committed:
-- what is appended without waiting for the disk can be seen before that. The commit waits, also where the role or the
-- session says that its commits need not.
--
-- Where everything is on the disk already nothing is written. The message carries nothing; it gives the transaction a
-- commit record, which is what Postgres flushes for (PostgreSQL documentation, 30.4 Asynchronous Commit). Where
-- standbys are waited for, what is on this disk says nothing of them, so it is always written. A standby sees only what
-- its primary flushed.
create function log.flush() returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set enable_seqscan = off
as $$
declare
    head bigint;
begin
    select e.position into head from log.events e order by e.position desc limit 1;
    if not pg_is_in_recovery() then
        if pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn() or current_setting('synchronous_standby_names') <> '' then
            if current_setting('synchronous_commit') = 'off' then
                perform set_config('synchronous_commit', 'on', true);
            end if;
            perform pg_logical_emit_message(true, 'annals.flush', '');
        end if;
    end if;
    return coalesce(head, 0);
end
$$;

revoke execute on function log.flush() from public;
grant execute on function log.flush() to annals_writer, annals_projector, annals_reader;
