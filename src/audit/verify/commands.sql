-- Commands after the id $1, in order, at most $2, each with whether its row tells of its events: only what is done has
-- any; they are there, of its stream, name it, and end at its version. Walks commands_pkey, with two probes of
-- events_pkey per row.
select c.command_id, case
           when c.first_position is null or c.last_position is null or c.status <> 'done' then
               c.first_position is null and c.last_position is null
           else coalesce(
               c.first_position <= c.last_position
               and first.metadata ->> 'command_id' = c.command_id::text
               and last.metadata ->> 'command_id' = c.command_id::text
               and (last.stream_id, last.stream_type, last.version) = (c.stream_id, c.stream_type, c.version)
               and last.version - first.version = c.last_position - c.first_position, false)
       end
from log.commands c
left join lateral (select * from log.events e where e.position = c.first_position) first on true
left join lateral (select * from log.events e where e.position = c.last_position) last on true
where c.command_id > $1
order by c.command_id
limit $2
