-- Notes how fast a rebuild ($1) is ($2 events per second).
update projections.rebuilds set events_per_second = $2 where id = $1
