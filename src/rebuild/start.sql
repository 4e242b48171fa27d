-- Begins a rebuild ($1 id) of a projection ($2) from files ($3; null: those of the live generation), with $4 workers, at
-- most $5 events per second, and $6 what to do at its end. Refused by rebuilds_unfinished while there is another one.
insert into projections.rebuilds as r (id, projection, folder, workers, max_events_per_second, swap)
select $1, p.projection, $3, $4, $5, $6 from projections.projections p where p.projection = $2
returning to_jsonb(r) - 'folder'
