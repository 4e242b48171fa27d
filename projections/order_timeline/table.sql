create table order_timeline (
    position bigint      primary key,
    order_id uuid        not null,
    version  bigint      not null,
    at       timestamptz not null,
    actor    text,
    what     text        not null
);
