-- Makes this log the one with an id ($1), as a restored backup is.
update log.identity set log_id = $1
