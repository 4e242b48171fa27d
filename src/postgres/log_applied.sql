-- The last migration applied to the log's schema; 0 where there is none.
select coalesce(max(version), 0) from log.migrations
