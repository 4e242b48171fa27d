-- The last migration applied to the read models' schema; no row where none was.
select m.version, m.name from projections.migrations m order by m.version desc limit 1
