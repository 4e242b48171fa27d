-- The only way to write to the log. Takes many requests at once and gives each its outcome, in the order given:
--
--   appended     stored: its events (or none, for a rejection) and its command's row
--   duplicate    the command was answered before; `first` is that row
--   fingerprint  the command's id, or its principal's key, was used before for something else
--   conflict     the stream is not at the expected version, or by another event; `version` is where it is
--   claimed      a value it takes belongs to another stream; `claim` is the index of that claim, from 1
--
-- Requests of one batch count as made one after the other. Several of one stream are a chain: each expects what its
-- predecessors in the batch lead to, and where one is not appended the rest of its chain is `conflict`. A batch must
-- not hold one command id, one key or one claim twice (refused with 21000 or 23505): such a twin waits a batch.
--
-- Why it is safe: the lock is taken in a statement of its own, so under READ COMMITTED every later statement sees all
-- that was committed before the lock was granted; until this transaction ends nobody else appends. Positions follow
-- the last committed one, so they have no gaps and become visible in their order.
--
-- Why it is fast: each lookup is one index probe per request (a plan made while the tables were empty would scan, so
-- the planner's other ways are off), outcomes are decided into arrays, and the inserts read arrays by subscript, which
-- PL/pgSQL has expanded once: unnest would copy each of them into a tuplestore of its own.
create function log.append(
    -- per request
    command_ids       uuid[],
    principals        text[],
    idempotency_keys  text[],
    fingerprints      bytea[],
    command_types     text[],
    correlation_ids   text[],
    stream_types      text[],
    stream_ids        uuid[],
    expected_versions bigint[],  -- null: any version; 0: the stream must not exist; below: only asks
    expected_events   uuid[],    -- the stream's last event as the batch begins; null: any
    event_counts      integer[],
    statuses          text[],    -- done or rejected
    answers           jsonb[],
    -- per event, grouped by request and in their order
    event_requests    integer[], -- which request, from 1
    event_numbers     integer[], -- which of that request's events, from 1
    event_ids         uuid[],
    event_types       text[],
    schema_versions   integer[],
    event_data        jsonb[],
    event_metadata    jsonb[],
    -- per claim taken or released
    claim_requests    integer[],
    claim_scopes      text[],
    claim_values      text[],
    claim_taken       boolean[], -- true: take; false: release
    -- for stream types that have no event yet
    new_partitions    integer
)
returns table (outcome text, version bigint, first_position bigint, last_position bigint, claim integer, first jsonb)
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    head_position bigint;
    head_time     timestamptz;
    lost          integer[];  -- the claim a request cannot have
    known         uuid[];     -- the earlier row of the same command
    before        bigint[];   -- the stream's version before the request, its predecessors in the batch counted
    strangers     boolean[];  -- whether another event than the expected one is the stream's last
    outcomes      text[];
    streams       bigint;     -- how many different ones
    firsts        bigint[];   -- the position of the request's first event; null: the request is not appended
    was_pending   boolean := false;
    is_written    boolean := false;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception using
            errcode = 'invalid_transaction_state',
            message = 'log.append runs under READ COMMITTED only: another level does not see what was committed while it waited for its lock';
    end if;

    perform pg_advisory_xact_lock(log.append_lock());

    select e.position, e.recorded_at into head_position, head_time
    from log.events e order by e.position desc limit 1;
    head_position := coalesce(head_position, 0);
    head_time := greatest(head_time, clock_timestamp());

    if cardinality(claim_requests) > 0 then
        lost := log.lost_claims(stream_types, stream_ids, claim_requests, claim_scopes, claim_values, claim_taken);
    end if;

    -- What is known of each command and of its stream, and the outcome of each request if it were alone. Nested loops,
    -- the only joins left on, keep the requests' order.
    select array_agg(coalesce(same.command_id, twin.command_id)), array_agg(coalesce(current.version, 0)),
           array_agg(expected_events[r.n] <> current.event_id), array_agg(case
               when coalesce(same.command_id, twin.command_id) is not null
                    and coalesce(same.fingerprint, twin.fingerprint) <> fingerprints[r.n] then 'fingerprint'
               when same.status <> 'pending' or same.command_id is null and twin.command_id is not null then 'duplicate'
               when expected_versions[r.n] <> coalesce(current.version, 0) or expected_events[r.n] <> current.event_id
                   then 'conflict'
               when lost[r.n] is not null then 'claimed'
               else 'appended'
           end)
    into known, before, strangers, outcomes
    from generate_series(1, cardinality(command_ids)) as r (n)
    left join log.commands same on same.command_id = command_ids[r.n]
    left join log.commands twin on twin.principal = principals[r.n] and twin.idempotency_key = idempotency_keys[r.n]
    left join lateral (
        select e.version, e.event_id from log.events e
        where e.stream_id = stream_ids[r.n] and e.stream_type = stream_types[r.n]
        order by e.version desc limit 1
    ) current on true;

    -- Where a stream comes several times, each of its requests counts on its predecessors. Counted apart: beside an
    -- aggregate of distinct values Postgres 16 sorts the rows for the others too.
    if cardinality(stream_ids) > 1 then
        select count(distinct r.stream_id) into streams from unnest(stream_ids) as r (stream_id);
        if streams < cardinality(stream_ids) then
            select c.before, c.outcomes into before, outcomes
            from log.chained(stream_types, stream_ids, expected_versions, event_counts, before, strangers, outcomes, lost) c;
        end if;
    end if;

    for n in 1 .. cardinality(command_ids) loop
        if statuses[n] <> all ('{done,rejected}') or octet_length(principals[n]) not between 1 and 512
           or octet_length(idempotency_keys[n]) not between 1 and 800 then
            raise exception using
                errcode = 'check_violation',
                message = 'a status is done or rejected, a principal has 1 to 512 bytes, an idempotency key 1 to 800';
        end if;
        outcome := outcomes[n];
        version := before[n];
        first_position := null;
        last_position := null;
        claim := null;
        first := null;
        case outcome
            when 'appended' then
                firsts[n] := head_position + 1;
                if event_counts[n] > 0 then
                    version := version + event_counts[n];
                    first_position := head_position + 1;
                    head_position := head_position + event_counts[n];
                    last_position := head_position;
                end if;
                was_pending := was_pending or known[n] is not null;
                is_written := true;
            when 'duplicate' then
                select to_jsonb(c) - 'fingerprint' into first from log.commands c where c.command_id = known[n];
                -- It grew old and was cleaned away meanwhile: decided again, the command is a new one.
                outcome := case when first is null then 'conflict' else outcome end;
            when 'claimed' then
                claim := lost[n];
            else
        end case;
        return next;
    end loop;

    -- What writes nothing has a commit that waits for nothing; but what is told of others has to be on the disk.
    if not is_written then
        perform log.flush();
        return;
    end if;

    if cardinality(event_requests) > 0 then
        if not stream_types <@ array(select s.stream_type from log.stream_types s) then
            insert into log.stream_types (stream_type, partitions)
            select distinct stream_types[e.request], new_partitions
            from unnest(event_requests) as e (request)
            where firsts[e.request] is not null
              and not exists (select from log.stream_types s where s.stream_type = stream_types[e.request]);
        end if;

        insert into log.events (position, version, recorded_at, stream_id, event_id, schema_version, stream_type,
                                event_type, data, metadata)
        select firsts[e.request] + event_numbers[e.n] - 1, before[e.request] + event_numbers[e.n], head_time,
               stream_ids[e.request], event_ids[e.n], schema_versions[e.n], stream_types[e.request], event_types[e.n],
               event_data[e.n], event_metadata[e.n]
        from (select n, event_requests[n] as request from generate_series(1, cardinality(event_requests)) as n) e
        where firsts[e.request] is not null;
    end if;

    if cardinality(claim_requests) > 0 then
        delete from log.claims h
        using unnest(claim_requests, claim_scopes, claim_values, claim_taken) as c (request, scope, value, taken)
        where firsts[c.request] is not null and not c.taken and h.scope = c.scope and h.value = c.value
          and h.stream_id = stream_ids[c.request] and h.stream_type = stream_types[c.request];

        insert into log.claims (scope, value, stream_type, stream_id)
        select c.scope, c.value, stream_types[c.request], stream_ids[c.request]
        from unnest(claim_requests, claim_scopes, claim_values, claim_taken) as c (request, scope, value, taken)
        where firsts[c.request] is not null and c.taken
          and not exists (select from log.claims h where h.scope = c.scope and h.value = c.value);
    end if;

    insert into log.commands (first_position, last_position, version, recorded_at, command_id, stream_id, status,
                              command_type, stream_type, principal, idempotency_key, correlation_id, fingerprint,
                              answer)
    select case when event_counts[r.n] > 0 then firsts[r.n] end,
           case when event_counts[r.n] > 0 then firsts[r.n] + event_counts[r.n] - 1 end,
           before[r.n] + event_counts[r.n], head_time, command_ids[r.n], stream_ids[r.n], statuses[r.n],
           command_types[r.n], stream_types[r.n], principals[r.n], idempotency_keys[r.n], correlation_ids[r.n],
           fingerprints[r.n], answers[r.n]
    from generate_series(1, cardinality(command_ids)) as r (n)
    where firsts[r.n] is not null and known[r.n] is null;

    -- One that goes through and is known was pending: it is done now, and what was kept of its request is wiped.
    if was_pending then
        update log.commands c
        set first_position = case when event_counts[r.n] > 0 then firsts[r.n] end,
            last_position = case when event_counts[r.n] > 0 then firsts[r.n] + event_counts[r.n] - 1 end,
            version = before[r.n] + event_counts[r.n], status = statuses[r.n], answer = answers[r.n]
        from unnest(known) with ordinality as r (command_id, n)
        where firsts[r.n] is not null and c.command_id = r.command_id;

        delete from log.accepted a
        using unnest(known) with ordinality as r (command_id, n)
        where firsts[r.n] is not null and a.command_id = r.command_id;
    end if;
end
$$;

revoke execute on function log.append from public;
grant execute on function log.append to annals_writer;
