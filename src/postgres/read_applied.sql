-- The last migration applied to the read models' schema; 0 where the table is empty.
select coalesce(max(version), 0) from projections.migrations
