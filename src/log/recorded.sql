-- Which events of these stream types ($2) come after a position ($1), at most $3, in the log's order, and how old they are in
-- seconds; found among so many ($4), of which the last is told in any case. Walks events_pkey.
select e.position, e.stream_type, e.stream_id,
       greatest(extract(epoch from clock_timestamp() - e.recorded_at), 0)::double precision
from (select * from log.events where position > $1 order by position limit $4) e
where e.stream_type = any ($2) or e.position = $1 + $4
order by e.position
limit $3
