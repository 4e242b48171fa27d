-- Begins a rebuild ($1 id) of a projection ($2) from files ($3; null: those of the live generation), with $4 workers, at
-- most $5 events per second, $6 what to do at its end, and $7 the events that the files are made for. Refused by
-- rebuilds_unfinished while there is another one.
insert into projections.rebuilds as r (id, projection, folder, workers, max_events_per_second, swap, made_for)
select $1, p.projection, $3, $4, $5, $6, $7 from projections.projections p where p.projection = $2
returning to_jsonb(r) - 'folder'
