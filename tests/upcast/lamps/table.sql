create table lamps (
    id         uuid   primary key,
    state      text   not null,
    brightness bigint not null,
    version    bigint not null
);
