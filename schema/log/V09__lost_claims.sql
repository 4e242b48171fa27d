-- For each request of a batch the index of the first claim it cannot take, because another stream holds the value; null
-- where there is none. One probe of claims_pkey per claim. Called by log.append under its lock, which no change of
-- log.claims happens without.
create function log.lost_claims(
    stream_types   text[],
    stream_ids     uuid[],
    claim_requests integer[],
    claim_scopes   text[],
    claim_values   text[],
    claim_taken    boolean[]
)
returns integer[]
language plpgsql
stable
set search_path = pg_catalog, log, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    lost  integer[] := array_fill(null::integer, array[cardinality(stream_ids)]);
    found record;
begin
    for found in
        select c.request, c.n
        from unnest(claim_requests, claim_scopes, claim_values, claim_taken)
             with ordinality as c (request, scope, value, taken, n)
        join lateral (
            select h.stream_type, h.stream_id from log.claims h
            where h.scope = c.scope and h.value = c.value
        ) holder on (holder.stream_id, holder.stream_type) <> (stream_ids[c.request], stream_types[c.request])
        where c.taken
        order by c.n desc
    loop
        lost[found.request] := found.n;
    end loop;
    return lost;
end
$$;

revoke execute on function log.lost_claims(text[], uuid[], integer[], text[], text[], boolean[]) from public;
