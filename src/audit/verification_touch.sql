-- Says how far the verification $1 is: $2 of $3 events.
update log.verifications
set touched_at = clock_timestamp(), events_done = $2, events_total = $3
where verification_id = $1
