-- Has the last taking of an accepted command not count as an attempt: the log was away or busy, or its taker has it in hand
-- already. It stays hidden for as long as it was taken for.
create function log.give_back_accepted(command_id uuid) returns void
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    update log.accepted a
    set attempts = a.attempts - 1
    where a.command_id = give_back_accepted.command_id and a.attempts > 0
$$;

revoke execute on function log.give_back_accepted(uuid) from public;
grant execute on function log.give_back_accepted(uuid) to annals_writer;
