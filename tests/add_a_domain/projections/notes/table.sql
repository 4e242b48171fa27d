create table notes (
    id       uuid    primary key,
    text     text    not null,
    archived boolean not null,
    version  bigint  not null
) with (fillfactor = 70);
