-- Every row of the log's tables as text.
select to_jsonb(t)::text from log.events t
union all
select (to_jsonb(t) - 'fingerprint')::text || encode(t.fingerprint, 'escape') from log.commands t
union all
select to_jsonb(t)::text from log.accepted t
union all
select to_jsonb(t)::text from log.claims t
union all
select to_jsonb(t)::text from log.access t
union all
select to_jsonb(t)::text from log.api_keys t
