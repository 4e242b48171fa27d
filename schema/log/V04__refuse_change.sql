-- What is written stays: refuses UPDATE, DELETE and TRUNCATE on the log for every role, the owner and superusers
-- included. ENABLE ALWAYS, so that session_replication_role cannot switch the triggers off.
create function log.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, log, pg_temp
as $$
begin
    raise exception using
        errcode = 'restrict_violation',
        message = format('log.%s is append-only: %s is refused', tg_table_name, lower(tg_op));
end
$$;

revoke execute on function log.refuse_change() from public;

create trigger refuse_change before update or delete or truncate on log.events
    for each statement execute function log.refuse_change();
alter table log.events enable always trigger refuse_change;
