-- Which of these sessions ($1: processes, $2: when each began) the server is at work for: those on which it does not itself
-- wait for the client, to ask something or to take the answer; and those that came to rest so lately that their answer may
-- still be on its way.
select a.pid
from pg_stat_activity a
join unnest($1::int[], $2::timestamptz[]) as known (pid, backend_start) using (pid, backend_start)
where a.wait_event_type is distinct from 'Client' or a.state_change > clock_timestamp() - interval '5 seconds'
