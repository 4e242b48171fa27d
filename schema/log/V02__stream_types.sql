-- The stream types there are, each with the number of partitions of its topic. Fixed at the type's first event and
-- kept here, not in Kafka: keys, partitions and checkpoints are the same with Kafka, without it, and after a rebuild.
-- `topic_id` names the topic's incarnation; a new one means that offsets known so far are worth nothing.
create table log.stream_types (
    stream_type text        primary key check (stream_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    partitions  integer     not null check (partitions between 1 and 1024),
    topic_id    uuid        not null default gen_random_uuid(),
    created_at  timestamptz not null default clock_timestamp()
);

grant select on log.stream_types to annals_writer, annals_projector, annals_reader;
