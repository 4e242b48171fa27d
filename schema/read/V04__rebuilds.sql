-- Rebuilds of read models, past and present: each makes a new generation beside the one that serves. Whoever holds the
-- lease carries it on, from what the database says; so it survives the end of any process.
--   folder       the files to build from; null: those of the generation that serves
--   swap         what happens when it is done: auto serves it, manual waits for a person, never drops it (a comparison)
--   indexed      whether the generation's indexes are made
--   events_done, events_total   positions of the log that are passed, of how many
--   comparison   what the two generations were found to hold
--   made_for     as of the generation
create table projections.rebuilds (
    id                    uuid        primary key,
    projection            text        not null references projections.projections (projection) on delete cascade,
    generation            integer,
    folder                jsonb,
    workers               integer     not null check (workers > 0),
    max_events_per_second integer     check (max_events_per_second > 0),
    swap                  text        not null check (swap in ('auto', 'manual', 'never')),
    state                 text        not null default 'running' check (state in
        ('running', 'catching-up', 'comparing', 'waiting', 'paused', 'done', 'failed', 'cancelled')),
    indexed               boolean     not null default false,
    events_done           bigint      not null default 0,
    events_total          bigint      not null default 0,
    events_per_second     float8,
    comparison            jsonb,
    error                 text,
    holder                uuid,
    leased_until          timestamptz,
    created_at            timestamptz not null default clock_timestamp(),
    ended_at              timestamptz,
    made_for              jsonb       not null default '{}'
);

-- One at a time per projection.
create unique index rebuilds_unfinished on projections.rebuilds (projection)
    where state not in ('done', 'failed', 'cancelled');

grant select, insert, update, delete on projections.rebuilds to annals_projector;
grant select on projections.rebuilds to annals_reader;
