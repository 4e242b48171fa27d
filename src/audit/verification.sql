-- The verification $1; one that fell silent ended with its process.
select json_build_object(
           'id', v.verification_id, 'actor', v.principal,
           'state', case when v.state = 'running' and v.touched_at < clock_timestamp() - interval '1 minute' then 'failed'
                         else v.state end,
           'started_at', v.started_at, 'events_done', v.events_done, 'events_total', v.events_total,
           'report', v.report)
from log.verifications v
where v.verification_id = $1
