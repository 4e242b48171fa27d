-- Gives an accepted command up, with what its caller is told. Its request goes. Nothing happens to one that is done. Under
-- the appenders' lock: an append that has read the command as pending is not told to have failed.
create function log.fail_accepted(command_id uuid, answer jsonb) returns void
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

revoke execute on function log.fail_accepted(uuid, jsonb) from public;
grant execute on function log.fail_accepted(uuid, jsonb) to annals_writer;
