-- Makes this log another one: a new log_id, nothing sent, all topics new. For a log that was restored from a backup and
-- is behind what Kafka and the read models have seen. Events, commands and claims stay. Only for the owner: whoever may
-- migrate. Takes the append's lock, so that no event falls between the two identities.
create function log.begin_incarnation() returns uuid
language plpgsql
volatile
set search_path = pg_catalog, log, pg_temp
as $$
declare
    new_log_id uuid := gen_random_uuid();
begin
    perform pg_advisory_xact_lock(log.append_lock());
    update log.identity set log_id = new_log_id;
    update log.stream_types set topic_id = gen_random_uuid();
    delete from log.outbox_partitions;
    update log.outbox set cursor = 0, holder = null, epoch = epoch + 1, expires_at = '-infinity';
    return new_log_id;
end
$$;

revoke execute on function log.begin_incarnation() from public;
