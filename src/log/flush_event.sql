-- Whether an event ($2 id) is at a position ($1) and on the disk, and up to where the log is on the disk.
select f.is_there, f.head from log.flush_event($1, $2) f
