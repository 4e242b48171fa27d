-- The read models there are, and which generation of each serves. Swapping generations is an update of one row.
create table projections.projections (
    projection      text        primary key check (projection ~ '^[a-z][a-z0-9_]{0,39}$'),
    live_generation integer     not null,
    paused          boolean     not null default false,
    -- Why its workers stand still, until it is taken away: the event, the error, the statement.
    stopped         jsonb,
    created_at      timestamptz not null default clock_timestamp()
);

-- One build of a read model: its tables stand in a schema of their own, named in `schema_name`. The folder it was made
-- from is kept here (its files by path), because a deploy may replace the one on disk while this generation still
-- serves. `fingerprint` also covers how its events are read: generations with the same one must have the same rows.
--   follows      whether the projection's workers feed it: the one that serves, a rebuilt one from its hand-over on, and
--                the one that served before until its time ends. All of them in the same transactions, so their
--                checkpoints are equal
--   retired_at   when it stopped serving; it follows on, so that going back to it is one update and never stale
--   made_for     the newest schema version of each event that its SQL was made for. A program that knows only older ones
--                would give it events of the older form: it leaves them to newer programs
create table projections.generations (
    projection  text        not null references projections.projections (projection) deferrable initially deferred,
    generation  integer     not null check (generation > 0),
    schema_name text        not null unique,
    version     integer     not null,
    fingerprint text        not null,
    folder      jsonb       not null,
    created_at  timestamptz not null default clock_timestamp(),
    follows     boolean     not null default true,
    retired_at  timestamptz,
    made_for    jsonb       not null default '{}',
    primary key (projection, generation)
);

grant usage on schema projections to annals_projector, annals_reader;
-- Whoever serves may see which migrations were applied.
grant select on projections.migrations to annals_projector, annals_reader;
grant select, insert, update, delete on projections.projections, projections.generations to annals_projector;
grant select on projections.projections, projections.generations to annals_reader;
