-- Verifications that auditors asked for, and what they found. One that is `running` and was not touched for a minute
-- ended with its process.
create table log.verifications (
    verification_id uuid        primary key,
    principal       text        not null,
    state           text        not null default 'running' check (state in ('running', 'done', 'failed')),
    started_at      timestamptz not null default clock_timestamp(),
    touched_at      timestamptz not null default clock_timestamp(),
    events_done     bigint      not null default 0,
    events_total    bigint      not null default 0,
    report          jsonb
);

grant select, insert, update on log.verifications to annals_writer;
grant select on log.verifications to annals_reader;
