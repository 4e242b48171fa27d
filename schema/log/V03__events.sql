-- The log. Physical layout: fixed-width columns first and uuids beside them, so that a row has no padding; one index
-- for the order of all events, one for the order in a stream. Both grow at their right edge (positions always, streams
-- because their ids are time-ordered), so an append touches few pages however long the log is.
create table log.events (
    position       bigint      not null,
    version        bigint      not null check (version > 0),
    recorded_at    timestamptz not null,
    stream_id      uuid        not null,
    event_id       uuid        not null,
    schema_version integer     not null check (schema_version > 0),
    stream_type    text        collate "C" not null,
    event_type     text        collate "C" not null,
    data           jsonb       not null,
    metadata       jsonb       not null,
    constraint events_pkey primary key (position),
    constraint events_stream_version unique (stream_id, version, stream_type)
);

grant select on log.events to annals_writer, annals_projector, annals_reader;
