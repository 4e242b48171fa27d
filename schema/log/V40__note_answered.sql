-- The time of keeping runs from a command's answer on. Until then the row of an accepted one says when that was: cleaning
-- by it would take an answer that comes late away at once, even before its commit is on the disk.
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
