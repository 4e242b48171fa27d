-- What a statement of the writer would call in place of Postgres' own function, with the writer's rights.
create schema {{schema}};
grant usage on schema {{schema}} to public;
create function {{schema}}.to_jsonb(log.commands) returns jsonb language plpgsql as $$
begin
    raise exception 'called as %', current_user;
end
$$;
