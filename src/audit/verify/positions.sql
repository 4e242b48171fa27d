-- Positions after $1 with their times, in order, at most $2. Walks events_pkey.
select position, recorded_at from log.events where position > $1 order by position limit $2
