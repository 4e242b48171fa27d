-- Whether an event ($2 id) is at a position ($1) and on the disk, and up to where the log is on the disk.
select exists (select from log.events e where e.position = $1 and e.event_id = $2), log.flush()
