-- The last migration applied to the log's schema; 0 where the table is empty.
select coalesce(max(version), 0) from log.migrations
