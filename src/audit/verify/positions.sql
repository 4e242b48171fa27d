-- Positions after $1 with their times, in order, at most $2, each with whether the auditors' index says of it what the log
-- says, where it has come that far (schema/log: log.index_events). An entry too many needs a gap in the log, or stands
-- beyond its end. Walks events_pkey, with a probe of event_index_pkey per row.
select e.position, e.recorded_at,
       e.position > coalesce((select max(i.position) from log.event_index i), 0)
       or exists (
           select from log.event_index i
           where i.position = e.position
             and (i.event_id, i.command_id, i.causation_id, i.stream_type, i.event_type, i.actor, i.correlation_id)
                 is not distinct from
                 (e.event_id, log.uuid_or_null(e.metadata ->> 'command_id'),
                  log.uuid_or_null(e.metadata ->> 'causation_id'), e.stream_type, e.event_type, e.metadata ->> 'actor',
                  e.metadata ->> 'correlation_id'))
from log.events e
where e.position > $1
order by e.position
limit $2
