-- Room on each page for updates.
create table "{{name}}" (
    id      uuid   primary key,
    version bigint not null
) with (fillfactor = 70);
