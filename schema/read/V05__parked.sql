-- Events that a read model could not fold and that did not stop it, and the later events of their streams, which wait
-- behind them. They stand in the log; here is where. Whoever changes a stream's rows holds its partition's checkpoint.
--   statement, sqlstate, error   what failed; null for an event that only waits
create table projections.parked (
    projection  text        not null,
    generation  integer     not null,
    position    bigint      not null,
    stream_type text        collate "C" not null,
    stream_id   uuid        not null,
    partition   integer     not null,
    version     bigint      not null,
    event_id    uuid        not null,
    event_type  text        not null,
    statement   text,
    sqlstate    text,
    error       text,
    at          timestamptz not null default clock_timestamp(),
    primary key (projection, generation, position),
    foreign key (projection, generation) references projections.generations (projection, generation) on delete cascade
);

create index parked_streams on projections.parked (projection, generation, stream_type, stream_id, position);

grant select, insert, update, delete on projections.parked to annals_projector;
grant select on projections.parked to annals_reader;
