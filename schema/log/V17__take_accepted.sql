-- Takes up to `most` accepted commands that are due, the longest waiting first, and hides them from other takers for
-- `hidden`: whoever took one and died gives it back by that. Walks accepted_available_at.
create function log.take_accepted(most integer, hidden interval)
returns table (
    command_id      uuid,
    command_type    text,
    principal       text,
    idempotency_key text,
    fingerprint     bytea,
    correlation_id  text,
    stream_id       uuid,
    request         jsonb,
    attempts        integer
)
language sql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    with due as (
        select a.command_id from log.accepted a
        where a.available_at <= clock_timestamp()
        order by a.available_at
        limit most
        for update skip locked
    ), taken as (
        update log.accepted a
        set available_at = clock_timestamp() + hidden, attempts = a.attempts + 1
        from due d
        where a.command_id = d.command_id
        returning a.command_id, a.accepted_at, a.request, a.attempts
    )
    select t.command_id, c.command_type, c.principal, c.idempotency_key, c.fingerprint, c.correlation_id, c.stream_id,
           t.request, t.attempts
    from taken t
    join log.commands c on c.command_id = t.command_id
    order by t.accepted_at
$$;

revoke execute on function log.take_accepted(integer, interval) from public;
grant execute on function log.take_accepted(integer, interval) to annals_writer;
