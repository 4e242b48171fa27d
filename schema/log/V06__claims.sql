-- Values that only one stream may hold, such as a project's name. A pure function of the events, so they can be
-- computed again from the log and compared.
create table log.claims (
    scope       text collate "C" not null check (octet_length(scope) between 1 and 128),
    value       text collate "C" not null check (octet_length(value) between 1 and 512),
    stream_type text collate "C" not null,
    stream_id   uuid not null,
    constraint claims_pkey primary key (scope, value)
);

grant select on log.claims to annals_writer, annals_reader;
