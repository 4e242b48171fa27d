-- The last migration applied to the log's schema; no row where none was.
select m.version, m.name from log.migrations m order by m.version desc limit 1
