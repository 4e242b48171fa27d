-- Which events of these stream types ($2) come after a position ($1), at most $3, in the log's order, and how old they are in
-- seconds. Walks events_pkey.
select position, stream_type, stream_id,
       greatest(extract(epoch from clock_timestamp() - recorded_at), 0)::double precision
from log.events
where position > $1 and stream_type = any ($2)
order by position
limit $3
