-- As V20, under the appenders' lock: an append that has read the command as pending is not told to have failed.
create or replace function log.fail_accepted(command_id uuid, answer jsonb) returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
#variable_conflict use_column
begin
    perform pg_advisory_xact_lock(log.append_lock());
    update log.commands c
    set status = 'failed', answer = fail_accepted.answer
    where c.command_id = fail_accepted.command_id and c.status = 'pending';
    delete from log.accepted a where a.command_id = fail_accepted.command_id;
end
$$;
