-- Commands accepted to be done later, in the order they came. The row of log.commands says `pending` meanwhile. A row
-- goes when its command is done, in the same transaction, and with it the body of its request.
create table log.accepted (
    accepted_at  timestamptz not null,
    available_at timestamptz not null,
    attempts     integer     not null default 0,
    command_id   uuid        not null references log.commands (command_id),
    request      jsonb       not null,
    constraint accepted_pkey primary key (command_id)
);

create index accepted_available_at on log.accepted (available_at);

grant select on log.accepted to annals_writer;
