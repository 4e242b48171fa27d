-- Ends the verification $1 in the state $2 after $3 of $4 events, with its report $5.
update log.verifications
set state = $2, touched_at = clock_timestamp(), events_done = $3, events_total = $4, report = $5
where verification_id = $1
