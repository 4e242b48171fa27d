-- Replaces the first log.append: the same outcomes, found with fewer sorts.
--
-- The only way to write to the log. Takes many requests at once and gives each its outcome, in the order given:
--
--   appended     stored: its events (or none, for a rejection) and its command's row
--   duplicate    the command was answered before; `first` is that row
--   fingerprint  the command's id, or its principal's key, was used before for something else
--   conflict     the stream is not at the expected version; `version` is where it is
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
-- the planner's other ways are off), outcomes are decided into arrays, and the inserts read arrays without a join.
create or replace function log.append(
    -- per request
    command_ids       uuid[],
    principals        text[],
    idempotency_keys  text[],
    fingerprints      bytea[],
    command_types     text[],
    correlation_ids   text[],
    stream_types      text[],
    stream_ids        uuid[],
    expected_versions bigint[],  -- null: any version; 0: the stream must not exist
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
    outcomes      text[];
    ok            boolean[];
    firsts        bigint[];   -- the position of the request's first event
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
    select array_agg(coalesce(same.command_id, twin.command_id)), array_agg(coalesce(current.version, 0)), array_agg(case
               when coalesce(same.command_id, twin.command_id) is not null
                    and coalesce(same.fingerprint, twin.fingerprint) <> r.fingerprint then 'fingerprint'
               when same.status <> 'pending' or same.command_id is null and twin.command_id is not null then 'duplicate'
               when r.expected_version <> coalesce(current.version, 0) then 'conflict'
               when lost[r.n] is not null then 'claimed'
               else 'appended'
           end)
    into known, before, outcomes
    from unnest(command_ids, principals, idempotency_keys, fingerprints, stream_types, stream_ids, expected_versions)
         with ordinality as r (command_id, principal, idempotency_key, fingerprint, stream_type, stream_id,
                               expected_version, n)
    left join log.commands same on same.command_id = r.command_id
    left join log.commands twin on twin.principal = r.principal and twin.idempotency_key = r.idempotency_key
    left join lateral (
        select e.version from log.events e
        where e.stream_id = r.stream_id and e.stream_type = r.stream_type
        order by e.version desc limit 1
    ) current on true;

    -- Where a stream comes several times, each of its requests counts on its predecessors.
    if exists (select from unnest(stream_ids) as r (stream_id) group by r.stream_id having count(*) > 1) then
        select c.before, c.outcomes into before, outcomes
        from log.chained(stream_types, stream_ids, expected_versions, event_counts, before, outcomes, lost) c;
    end if;

    select array_agg(r.outcome = 'appended'), array_agg(r.first) into ok, firsts
    from (
        select r.outcome, head_position + 1 + coalesce(
                   sum(r.event_count) filter (where r.outcome = 'appended') over (
                       rows between unbounded preceding and 1 preceding), 0) as first
        from unnest(outcomes, event_counts) as r (outcome, event_count)
    ) r;

    if cardinality(event_requests) > 0 then
        if not stream_types <@ array(select s.stream_type from log.stream_types s) then
            insert into log.stream_types (stream_type, partitions)
            select distinct stream_types[e.request], new_partitions
            from unnest(event_requests) as e (request)
            where ok[e.request]
              and not exists (select from log.stream_types s where s.stream_type = stream_types[e.request]);
        end if;

        insert into log.events (position, version, recorded_at, stream_id, event_id, schema_version, stream_type,
                                event_type, data, metadata)
        select firsts[e.request] + e.number - 1, before[e.request] + e.number, head_time, stream_ids[e.request],
               e.event_id, e.schema_version, stream_types[e.request], e.event_type, e.data, e.metadata
        from unnest(event_requests, event_numbers, event_ids, event_types, schema_versions, event_data,
                    event_metadata) as e (request, number, event_id, event_type, schema_version, data, metadata)
        where ok[e.request];
    end if;

    if cardinality(claim_requests) > 0 then
        delete from log.claims h
        using unnest(claim_requests, claim_scopes, claim_values, claim_taken) as c (request, scope, value, taken)
        where ok[c.request] and not c.taken and h.scope = c.scope and h.value = c.value
          and h.stream_id = stream_ids[c.request] and h.stream_type = stream_types[c.request];

        insert into log.claims (scope, value, stream_type, stream_id)
        select c.scope, c.value, stream_types[c.request], stream_ids[c.request]
        from unnest(claim_requests, claim_scopes, claim_values, claim_taken) as c (request, scope, value, taken)
        where ok[c.request] and c.taken
          and not exists (select from log.claims h where h.scope = c.scope and h.value = c.value);
    end if;

    insert into log.commands (first_position, last_position, version, recorded_at, command_id, stream_id, status,
                              command_type, stream_type, principal, idempotency_key, correlation_id, fingerprint,
                              answer)
    select case when r.event_count > 0 then firsts[r.n] end,
           case when r.event_count > 0 then firsts[r.n] + r.event_count - 1 end,
           before[r.n] + r.event_count, head_time, r.command_id, r.stream_id, r.status, r.command_type, r.stream_type,
           r.principal, r.idempotency_key, r.correlation_id, r.fingerprint, r.answer
    from unnest(command_ids, stream_ids, statuses, command_types, stream_types, principals, idempotency_keys,
                correlation_ids, fingerprints, answers, event_counts)
         with ordinality as r (command_id, stream_id, status, command_type, stream_type, principal, idempotency_key,
                               correlation_id, fingerprint, answer, event_count, n)
    where ok[r.n] and known[r.n] is null;

    -- One that goes through and is known was pending: it is done now, and what was kept of its request is wiped.
    if exists (select from log.accepted) then
        update log.commands c
        set first_position = case when event_counts[r.n] > 0 then firsts[r.n] end,
            last_position = case when event_counts[r.n] > 0 then firsts[r.n] + event_counts[r.n] - 1 end,
            version = before[r.n] + event_counts[r.n], status = statuses[r.n], answer = answers[r.n]
        from unnest(known) with ordinality as r (command_id, n)
        where ok[r.n] and c.command_id = r.command_id;

        delete from log.accepted a
        using unnest(known) with ordinality as r (command_id, n)
        where ok[r.n] and a.command_id = r.command_id;
    end if;

    return query
        select r.outcome,
               before[r.n] + case when ok[r.n] then event_counts[r.n] else 0 end,
               case when ok[r.n] and event_counts[r.n] > 0 then firsts[r.n] end,
               case when ok[r.n] and event_counts[r.n] > 0 then firsts[r.n] + event_counts[r.n] - 1 end,
               case when r.outcome = 'claimed' then lost[r.n] end,
               case when r.outcome = 'duplicate' then (
                   select to_jsonb(c) - 'fingerprint' from log.commands c where c.command_id = known[r.n]) end
        from unnest(outcomes) with ordinality as r (outcome, n)
        order by r.n;
end
$$;

revoke execute on function log.append from public;
grant execute on function log.append to annals_writer;
