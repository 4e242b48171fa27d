-- The relay's state, one row. The log itself is the outbox: an event is pending when its position is above `cursor`,
-- up to which Kafka has acknowledged everything, over all topics.
--   holder, epoch, expires_at   the lease: who relays, the how-manieth holder it is, until when (this database's clock)
-- fillfactor leaves room on the page, so that the frequent updates stay heap-only.
create table log.outbox (
    only_row   boolean     primary key default true check (only_row),
    cursor     bigint      not null default 0,
    holder     text,
    epoch      bigint      not null default 0,
    expires_at timestamptz not null default '-infinity'
) with (fillfactor = 10);

insert into log.outbox default values;

-- The last position sent to each partition, for telling a topic that lost its tail from one that has it all.
create table log.outbox_partitions (
    stream_type text    not null references log.stream_types (stream_type),
    partition   integer not null,
    last_sent   bigint  not null,
    primary key (stream_type, partition)
) with (fillfactor = 50);

grant select on log.outbox, log.outbox_partitions to annals_writer, annals_projector, annals_reader;
