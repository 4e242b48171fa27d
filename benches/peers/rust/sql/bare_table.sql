-- The least a table of events can be: an order, a version per stream that cannot be taken twice, and the data.
create table events (
    position    bigserial primary key,
    stream_id   uuid not null,
    version     bigint not null,
    event_type  text not null,
    data        jsonb not null,
    metadata    jsonb not null,
    recorded_at timestamptz not null default clock_timestamp(),
    unique (stream_id, version)
)
