-- The time of keeping runs from a command's answer on. The row of one that was accepted said when that was, so an answer that
-- came late was cleaned away at once, even before its commit was on the disk.
create function log.note_answered() returns trigger
language plpgsql
set search_path = pg_catalog, log, pg_temp
as $$
begin
    new.recorded_at := clock_timestamp();
    return new;
end
$$;

create trigger note_answered before update on log.commands
    for each row when (old.status = 'pending' and new.status <> 'pending')
    execute function log.note_answered();

revoke execute on function log.note_answered() from public;
