-- Brings log.event_index up to `most` events further; returns how far it reaches now. One process at a time: another
-- one finds the lock taken and is only told the place. What is not an id there is passed over: metadata is written by
-- this program, but the log never refuses it.
create function log.index_events(most integer) returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
declare
    reached bigint;
begin
    if pg_try_advisory_xact_lock(log.append_lock() + 2) then
        insert into log.event_index (position, event_id, command_id, causation_id, stream_type, event_type, actor,
                                     correlation_id)
        select e.position, e.event_id, log.uuid_or_null(e.metadata ->> 'command_id'),
               log.uuid_or_null(e.metadata ->> 'causation_id'), e.stream_type, e.event_type, e.metadata ->> 'actor',
               e.metadata ->> 'correlation_id'
        from log.events e
        where e.position > (select coalesce(max(i.position), 0) from log.event_index i)
        order by e.position
        limit most;
    end if;
    select coalesce(max(i.position), 0) into reached from log.event_index i;
    return reached;
end
$$;

revoke execute on function log.index_events(integer) from public;
grant execute on function log.index_events(integer) to annals_writer;
