create table counters (
    id      uuid   primary key,
    counter bigint not null,
    version bigint not null
) with (fillfactor = 70);
