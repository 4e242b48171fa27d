-- The five roles, created when absent. Roles belong to the whole cluster, so another database's migration may create
-- them at the same moment: a loser of that race finds them there. Run by the migrator before the numbered files.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['annals_owner', 'annals_migrator', 'annals_writer', 'annals_projector', 'annals_reader']
    loop
        begin
            if not exists (select from pg_catalog.pg_roles r where r.rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;

    -- The migrator acts as the owner; a superuser and a login that was granted the role before need no grant.
    if not pg_catalog.pg_has_role(current_user, 'annals_owner', 'member') then
        execute format('grant annals_owner to %I', current_user);
    end if;
end
$$;
