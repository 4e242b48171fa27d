-- Accepts a command to be done later: its row says `pending`, its request waits in log.accepted. Returns null, or the
-- row of the earlier command with the same id or the same key of the same principal.
--
-- Takes no lock: where a twin is being appended at this moment, the insert waits for it and then finds its row.
create function log.accept(
    command_id      uuid,
    command_type    text,
    principal       text,
    idempotency_key text,
    fingerprint     bytea,
    correlation_id  text,
    stream_type     text,
    stream_id       uuid,
    request         jsonb
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
#variable_conflict use_column
declare
    now     timestamptz := clock_timestamp();
    earlier jsonb;
begin
    if octet_length(accept.principal) not between 1 and 512
       or octet_length(accept.idempotency_key) not between 1 and 800 then
        raise exception using
            errcode = 'check_violation',
            message = 'a principal has 1 to 512 bytes, an idempotency key 1 to 800';
    end if;

    loop
        insert into log.commands (recorded_at, command_id, stream_id, status, command_type, stream_type, principal,
                                  idempotency_key, correlation_id, fingerprint)
        values (now, accept.command_id, accept.stream_id, 'pending', accept.command_type, accept.stream_type,
                accept.principal, accept.idempotency_key, accept.correlation_id, accept.fingerprint)
        on conflict do nothing;
        if found then
            insert into log.accepted (accepted_at, available_at, command_id, request)
            values (now, now, accept.command_id, accept.request);
            return null;
        end if;

        select to_jsonb(c) - 'fingerprint' || jsonb_build_object('same', c.fingerprint = accept.fingerprint) into earlier
        from (
            select c.* from log.commands c where c.command_id = accept.command_id
            union all
            select c.* from log.commands c
            where c.principal = accept.principal and c.idempotency_key = accept.idempotency_key
            limit 1
        ) c;
        exit when earlier is not null;
    end loop;
    return earlier;
end
$$;

revoke execute on function log.accept from public;
grant execute on function log.accept to annals_writer;
