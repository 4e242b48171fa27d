-- How many of these commands are answered, with log.flush: on the disk once the caller's transaction is committed. A plan
-- made while the table was empty would scan it for ever, so the planner's other ways are off.
create function log.flush_commands(command_ids uuid[]) returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set enable_seqscan = off
as $$
declare
    found bigint;
begin
    select count(*) into found from log.commands c where c.command_id = any (command_ids) and c.status <> 'pending';
    perform log.flush();
    return found;
end
$$;

revoke execute on function log.flush_commands(uuid[]) from public;
grant execute on function log.flush_commands(uuid[]) to annals_writer;
