-- The row of the command $1, as auditors see it. One probe of commands_pkey.
select json_build_object(
           'command_id', c.command_id, 'command_type', c.command_type, 'actor', c.principal, 'outcome', c.status,
           'stream_type', c.stream_type, 'stream_id', c.stream_id, 'version', c.version,
           'first_position', c.first_position, 'last_position', c.last_position,
           'idempotency_key', c.idempotency_key, 'correlation_id', c.correlation_id, 'recorded_at', c.recorded_at,
           'answer', c.answer)
from log.commands c
where c.command_id = $1
