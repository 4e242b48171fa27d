-- The event with id $1, then its cause, then the cause of that, up to 100 of them. A cause is an event or a command (of
-- whose events the first counts), and always before what it caused, so this ends. Probes of event_index_event_id,
-- event_index_command_id and events_pkey.
with recursive chain as (
    select i.position, i.causation_id, 0 as depth
    from log.event_index i
    where i.event_id = $1
    union all
    select cause.position, cause.causation_id, c.depth + 1
    from chain c
    cross join lateral (
        select i.position, i.causation_id
        from log.event_index i
        where (i.event_id = c.causation_id or i.command_id = c.causation_id) and i.position < c.position
        order by i.position
        limit 1
    ) cause
    where c.depth < 100
)
select e.position, e.stream_type, e.stream_id, e.version, e.event_id, e.event_type, e.schema_version, e.data, e.metadata,
       e.recorded_at
from chain c
join log.events e on e.position = c.position
order by c.depth
