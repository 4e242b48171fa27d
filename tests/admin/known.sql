-- How many rows and schemas tell of a projection ($1).
select (select count(*) from projections.projections p where p.projection = $1)
     + (select count(*) from projections.generations g where g.projection = $1)
     + (select count(*) from projections.checkpoints c where c.projection = $1)
     + (select count(*) from projections.parked k where k.projection = $1)
     + (select count(*) from projections.rebuilds r where r.projection = $1)
     + (select count(*) from pg_catalog.pg_namespace n where starts_with(n.nspname, 'projection_' || $1 || '_'))
