-- The last position recorded before a time; 0 where there is none. recorded_at never decreases along the positions, and
-- positions have no gaps, so this is a binary search: some 24 probes of events_pkey in ten million events.
create function log.position_before(moment timestamptz) returns bigint
language plpgsql
stable
set search_path = pg_catalog, log, pg_temp
as $$
declare
    low    bigint := 0;
    high   bigint := (select coalesce(max(e.position), 0) from log.events e);
    middle bigint;
begin
    while low < high loop
        middle := (low + high + 1) / 2;
        if (select e.recorded_at from log.events e where e.position = middle) < moment then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return low;
end
$$;

revoke execute on function log.position_before(timestamptz) from public;
grant execute on function log.position_before(timestamptz) to annals_writer, annals_reader;
