-- The five roles, created when absent. Roles belong to the whole cluster, so another database's migration may create
-- them at the same moment: a loser of that race finds them there. Run by the migrator before the numbered files.
--
-- Nobody logs in as one of them: logins are members (docs/security.md). The migrator may become the owner, but is not
-- the owner until it says so: NOINHERIT.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['annals_owner', 'annals_migrator', 'annals_writer', 'annals_projector', 'annals_reader']
    loop
        begin
            if not exists (select from pg_catalog.pg_roles r where r.rolname = role_name) then
                execute format('create role %I nologin %s', role_name,
                               case role_name when 'annals_migrator' then 'noinherit' else 'inherit' end);
            end if;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;

    begin
        if not pg_catalog.pg_has_role('annals_migrator', 'annals_owner', 'member') then
            grant annals_owner to annals_migrator;
        end if;
    exception when unique_violation then
        null;
    end;

    -- A superuser, and a login that is a migrator, can act as the owner already. From Postgres 16 on whoever makes a role
    -- is its member, and may not act as it.
    if not pg_catalog.pg_has_role(
        current_user, 'annals_owner',
        case when pg_catalog.current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end
    ) then
        execute format('grant annals_migrator to %I', current_user);
    end if;
end
$$;
