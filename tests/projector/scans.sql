-- How often the table of the counters was read whole, and how often by its index.
select coalesce(sum(seq_scan), 0)::bigint, coalesce(sum(idx_scan), 0)::bigint
from pg_stat_user_tables
where schemaname = 'projection_counters_1'
