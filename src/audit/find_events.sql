-- Events after position $1 and up to $2, in order or backwards ($9), at most $10, recorded from $11 on and before $12.
--   $3 stream type  $4 event type  $5 actor  $6 correlation  $7 causation  $8 command; null: any
-- One range of log.event_index and one probe of events_pkey per event.
select e.position, e.stream_type, e.stream_id, e.version, e.event_id, e.event_type, e.schema_version, e.data, e.metadata,
       e.recorded_at
from log.find_events(
         greatest($1, case when $11::timestamptz is not null then log.position_before($11) else 0 end),
         least($2, case when $12::timestamptz is not null then log.position_before($12) else $2 end),
         $3, $4, $5, $6, $7, $8, $9, $10) f
cross join lateral (select * from log.events o where o.position = f.position) e
order by case when $9 then -e.position else e.position end
