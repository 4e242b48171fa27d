-- The schema of the read models' book-keeping, and the right to make a schema per generation. Idempotent; run before
-- the numbered files, because the table of applied migrations lives in it.
do $$
begin
    if not exists (select from pg_catalog.pg_namespace n where n.nspname = 'projections') then
        create schema projections authorization annals_owner;
    end if;
    if not pg_catalog.has_database_privilege('annals_projector', current_database(), 'create') then
        execute format('grant create on database %I to annals_projector', current_database());
    end if;
end
$$;
