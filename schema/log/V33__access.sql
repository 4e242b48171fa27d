-- Who looked at the audit, and at what. A table beside the log, because reading must not write to what is read. Rows are
-- only added; their ids are time-ordered (uuid v7), so the primary key is the order of time too.
create table log.access (
    access_id      uuid        primary key,
    accessed_at    timestamptz not null default clock_timestamp(),
    principal      text        collate "C" not null,
    method         text        not null,
    -- Path and query as they were sent.
    target         text        not null check (char_length(target) <= 4000),
    correlation_id text        not null
);

create trigger refuse_change before update or delete or truncate on log.access
    for each statement execute function log.refuse_change();
alter table log.access enable always trigger refuse_change;

grant select, insert on log.access to annals_writer;
grant select on log.access to annals_reader;
