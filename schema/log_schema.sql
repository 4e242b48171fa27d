-- The schema of the log's database, owned by a role nobody logs in as. Idempotent; run before the numbered files,
-- because the table of applied migrations lives in it.
do $$
begin
    if not exists (select from pg_catalog.pg_namespace n where n.nspname = 'log') then
        create schema log authorization annals_owner;
    end if;
end
$$;
