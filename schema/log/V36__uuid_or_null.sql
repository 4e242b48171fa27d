-- The text as an id, or null where it is none: metadata is written by this program, but the log never refuses it.
create function log.uuid_or_null(text text) returns uuid
language sql
immutable
parallel safe
as $$
    select case when text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then text::uuid end
$$;

revoke execute on function log.uuid_or_null(text) from public;
grant execute on function log.uuid_or_null(text) to annals_reader;
