-- The last migration applied to the read models' schema; 0 where there is none.
select coalesce(max(version), 0) from projections.migrations
