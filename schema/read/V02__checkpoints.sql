-- How far each partition of a generation has come. Moves in the transaction of the rows it speaks of, under the lock of
-- its row. `next_offset` is where its Kafka partition goes on, worth something only while `topic_id` is the topic's
-- incarnation; `log_id` is the log that the positions belong to.
--   applied, ignored, parked   the events passed so far, by what became of them
-- fillfactor leaves room on the page, so that the frequent updates stay heap-only.
create table projections.checkpoints (
    projection  text    not null,
    generation  integer not null,
    stream_type text    collate "C" not null,
    partition   integer not null,
    position    bigint  not null default 0,
    next_offset bigint,
    topic_id    uuid,
    log_id      uuid    not null,
    applied     bigint  not null default 0,
    ignored     bigint  not null default 0,
    parked      bigint  not null default 0,
    primary key (projection, generation, stream_type, partition),
    foreign key (projection, generation) references projections.generations (projection, generation) on delete cascade
) with (fillfactor = 50);

grant select, insert, update, delete on projections.checkpoints to annals_projector;
grant select on projections.checkpoints to annals_reader;
