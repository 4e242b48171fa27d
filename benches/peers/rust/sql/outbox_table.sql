-- The outbox as Debezium's event router expects it, with the columns' default names.
create table outbox (
    id            uuid primary key,
    aggregatetype text not null,
    aggregateid   text not null,
    type          text not null,
    payload       jsonb not null
);
create publication debezium for table outbox;
