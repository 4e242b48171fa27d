-- Takes due commands: at most $1, hidden from others for $2 seconds.
select command_id, command_type, principal, idempotency_key, fingerprint, correlation_id, stream_id, request, attempts
from log.take_accepted($1, make_interval(secs => $2))
