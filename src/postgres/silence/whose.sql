-- What the server knows this session by: its process, and when that began; no row where this login may not see it. A number
-- alone might be another session's of another server.
select a.pid, a.backend_start
from pg_stat_activity a
where a.pid = pg_backend_pid() and a.backend_start is not null
