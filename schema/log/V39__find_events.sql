-- Positions of events by what log.event_index knows of them: after `after` and up to `until`, in order or backwards, at
-- most `most`. What is null is not asked for. Planned for the values at hand, so that what is null drops out and the
-- index of the rarest value is walked.
create function log.find_events(
    after          bigint,
    until          bigint,
    stream_type    text,
    event_type     text,
    actor          text,
    correlation_id text,
    causation_id   uuid,
    command_id     uuid,
    backwards      boolean,
    most           integer
)
returns table ("position" bigint)
language plpgsql
stable
set search_path = pg_catalog, log, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    if backwards then
        return query
            select i.position from log.event_index i
            where i.position > find_events.after and i.position <= find_events.until
              and (find_events.stream_type is null or i.stream_type = find_events.stream_type)
              and (find_events.event_type is null or i.event_type = find_events.event_type)
              and (find_events.actor is null or i.actor = find_events.actor)
              and (find_events.correlation_id is null or i.correlation_id = find_events.correlation_id)
              and (find_events.causation_id is null or i.causation_id = find_events.causation_id)
              and (find_events.command_id is null or i.command_id = find_events.command_id)
            order by i.position desc
            limit most;
    else
        return query
            select i.position from log.event_index i
            where i.position > find_events.after and i.position <= find_events.until
              and (find_events.stream_type is null or i.stream_type = find_events.stream_type)
              and (find_events.event_type is null or i.event_type = find_events.event_type)
              and (find_events.actor is null or i.actor = find_events.actor)
              and (find_events.correlation_id is null or i.correlation_id = find_events.correlation_id)
              and (find_events.causation_id is null or i.causation_id = find_events.causation_id)
              and (find_events.command_id is null or i.command_id = find_events.command_id)
            order by i.position
            limit most;
    end if;
end
$$;

revoke execute on function log.find_events from public;
grant execute on function log.find_events to annals_writer, annals_reader;
