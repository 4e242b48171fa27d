-- Whether an event is at a position, and the last position, with log.flush: on the disk once the caller's transaction is
-- committed. A plan made while the table was empty would scan it for ever, so the planner's other ways are off.
create function log.flush_event(at bigint, event_id uuid, out is_there boolean, out head bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set enable_seqscan = off
as $$
begin
    is_there := exists (select from log.events e where e.position = at and e.event_id = flush_event.event_id);
    head := log.flush();
end
$$;

revoke execute on function log.flush_event(bigint, uuid) from public;
grant execute on function log.flush_event(bigint, uuid) to annals_writer, annals_projector, annals_reader;
