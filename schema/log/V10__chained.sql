-- What becomes of a batch's requests where several are of one stream: each counts on what its predecessors lead to, and
-- where one is not appended the rest of its chain is `conflict`. One that expects a version below zero only asks: it is
-- nobody's predecessor. Called by log.append under its lock, with what it found out about each request alone; reads no
-- table.
create function log.chained(
    stream_types      text[],
    stream_ids        uuid[],
    expected_versions bigint[],
    event_counts      integer[],
    stored            bigint[],  -- each stream's version
    strangers         boolean[], -- whether another event than the expected one is the stream's last
    alone             text[],    -- each request's outcome if it were alone
    lost              integer[]  -- the claim a request cannot have
)
returns table (before bigint[], outcomes text[])
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with request as (
        select r.*, coalesce(sum(case when r.expected_version < 0 then 0 else r.event_count end) over predecessors, 0)
                    + r.stored as before
        from unnest(stream_types, stream_ids, expected_versions, event_counts, stored, strangers, alone, lost)
             with ordinality as r (stream_type, stream_id, expected_version, event_count, stored, is_stranger, alone,
                                   lost, n)
        window predecessors as (partition by r.stream_id, r.stream_type order by r.n
                                rows between unbounded preceding and 1 preceding)
    ), decided as (
        select q.*, case
                   when q.alone in ('duplicate', 'fingerprint') then q.alone
                   when q.expected_version <> q.before or q.is_stranger then 'conflict'
                   when q.lost is not null then 'claimed'
                   else 'appended'
               end as outcome
        from request q
    ), linked as (
        select d.*, case
                   when d.alone in ('duplicate', 'fingerprint') then d.outcome
                   when bool_and(d.outcome = 'appended' or coalesce(d.expected_version < 0, false)) over predecessors
                        is not false then d.outcome
                   else 'conflict'
               end as final
        from decided d
        window predecessors as (partition by d.stream_id, d.stream_type order by d.n
                                rows between unbounded preceding and 1 preceding)
    ), placed as (
        select l.n, l.final, l.stored + coalesce(sum(l.event_count) filter (where l.final = 'appended') over (
                   partition by l.stream_id, l.stream_type order by l.n
                   rows between unbounded preceding and 1 preceding), 0) as before
        from linked l
    )
    select array_agg(p.before order by p.n), array_agg(p.final order by p.n) from placed p
$$;

revoke execute on function log.chained from public;
