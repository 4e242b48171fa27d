-- Drops every generation of every read model and all that is known of them, so that the next start builds them anew.
-- Runs with the caller's rights: the schemas belong to the projector's role.
create function projections.forget() returns integer
language plpgsql
volatile
set search_path = pg_catalog, projections, pg_temp
as $$
declare
    schema_name text;
    dropped     integer := 0;
begin
    for schema_name in select g.schema_name from projections.generations g order by 1 loop
        execute format('drop schema if exists %I cascade', schema_name);
        dropped := dropped + 1;
    end loop;
    delete from projections.generations;
    delete from projections.projections;
    return dropped;
end
$$;

revoke execute on function projections.forget() from public;
grant execute on function projections.forget() to annals_projector;
