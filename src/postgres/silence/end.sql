-- Ends these sessions ($1: processes, $2: when each began) where the server still has them, and with them what they lock.
select pg_terminate_backend(a.pid)
from pg_stat_activity a
join unnest($1::int[], $2::timestamptz[]) as known (pid, backend_start) using (pid, backend_start)
