-- What auditors look events up by. A table of its own, filled behind the log by log.index_events, so that its indexes
-- cost an append nothing; derived from log.events, so it may be emptied at any time and fills up again. It has no gaps:
-- its last position tells how far it reaches.
create table log.event_index (
    position       bigint not null,
    event_id       uuid   not null,
    command_id     uuid,
    causation_id   uuid,
    stream_type    text   collate "C" not null,
    event_type     text   collate "C" not null,
    actor          text   collate "C",
    correlation_id text   collate "C",
    constraint event_index_pkey primary key (position)
);

-- Each ends in the position, so that what one leads to comes out in the log's order.
create index event_index_event_id on log.event_index (event_id);
create index event_index_command_id on log.event_index (command_id, position);
create index event_index_causation_id on log.event_index (causation_id, position) where causation_id is not null;
create index event_index_correlation_id on log.event_index (correlation_id, position);
create index event_index_actor on log.event_index (actor, position);
create index event_index_actor_event_type on log.event_index (actor, event_type, position);
create index event_index_event_type on log.event_index (event_type, position);
create index event_index_stream_type on log.event_index (stream_type, position);

grant select on log.event_index to annals_writer, annals_reader;
