-- Keeps a state, unless a newer one of the same revision is there. Any version but one that the stream has is refused
-- silently: a snapshot never speaks of events that are not in the log.
create function log.keep_snapshot(stream_type text, stream_id uuid, version bigint, revision integer, state jsonb)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    insert into log.snapshots as s (version, stream_id, revision, stream_type, state)
    select $3, $2, $4, $1, $5
    where exists (select from log.events e where e.stream_id = $2 and e.stream_type = $1 and e.version = $3)
    on conflict (stream_id, stream_type) do update
        set version = excluded.version, revision = excluded.revision, state = excluded.state
        where s.revision <> excluded.revision or s.version < excluded.version
$$;

revoke execute on function log.keep_snapshot(text, uuid, bigint, integer, jsonb) from public;
grant execute on function log.keep_snapshot(text, uuid, bigint, integer, jsonb) to annals_writer;
