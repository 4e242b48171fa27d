-- Whether a fold waits for the counters' table.
select exists (
    select from pg_locks where relation = 'projection_counters_1.counters'::regclass and not granted
)
