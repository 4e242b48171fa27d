-- Says that a stream type's topic is a new incarnation, so that offsets remembered for the old one are not used. Only
-- for the holder of this epoch.
create function log.renew_topic(holder text, epoch bigint, stream_type text) returns void
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    update log.stream_types s
    set topic_id = gen_random_uuid()
    where s.stream_type = $3
      and exists (select from log.outbox o where o.holder = $1 and o.epoch = $2)
$$;

revoke execute on function log.renew_topic(text, bigint, text) from public;
grant execute on function log.renew_topic(text, bigint, text) to annals_writer;
