-- Has Postgres keep a statement over events as it understands it. Parameters as in events.sql.
create function understood(text, text, integer, bigint[], uuid[], bigint[], uuid[], jsonb[], text[], timestamptz[])
returns void
begin atomic
{{statement}};
end
