-- What becomes of a batch's requests where several are of one stream: each counts on what its predecessors lead to, and
-- where one is not appended the rest of its chain is `conflict`. One that expects a version below zero only asks: it is
-- nobody's predecessor. Called by log.append under its lock, with what it found out about each request alone; reads no
-- table. In PL/pgSQL, which keeps its plans: those of an SQL function were made anew in each batch.
create or replace function log.chained(
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
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    n        integer;
    previous integer;   -- the request before it of the same stream
    broken   boolean[]; -- whether one before it is not appended
begin
    before := stored;
    outcomes := alone;
    for n, previous in
        select l.n, l.previous
        from (
            select r.n, lag(r.n) over (partition by r.stream_id, r.stream_type order by r.n) as previous
            from unnest(stream_ids, stream_types) with ordinality as r (stream_id, stream_type, n)
        ) l
        where l.previous is not null
        order by l.n
    loop
        before[n] := before[previous] + case outcomes[previous] when 'appended' then event_counts[previous] else 0 end;
        broken[n] := coalesce(broken[previous], false)
                     or outcomes[previous] <> 'appended' and coalesce(expected_versions[previous] >= 0, true);
        if outcomes[n] <> all ('{duplicate,fingerprint}') then
            outcomes[n] := case
                when broken[n] or expected_versions[n] <> before[n] or strangers[n] then 'conflict'
                when lost[n] is not null then 'claimed'
                else 'appended'
            end;
        end if;
    end loop;
    return next;
end
$$;
