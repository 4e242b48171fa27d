-- How far the events are handled ($1).
update bench.handled set position = $1
