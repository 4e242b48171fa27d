-- One row for each command that was answered (or accepted to be done later), written in the transaction that holds
-- its events. It makes a repeat get the first answer. Rows are deleted when their time of keeping is over; the events
-- stay.
--   status    pending: accepted, not done yet; done; rejected: the domain said no; failed: given up after its tries
--   answer    what the caller was told, without its transport: the result, or the rejection
--   version   the stream's version after the command, or the one a rejection was decided on
create table log.commands (
    first_position  bigint,
    last_position   bigint,
    version         bigint,
    recorded_at     timestamptz not null,
    command_id      uuid        not null,
    stream_id       uuid        not null,
    status          text        collate "C" not null check (status in ('pending', 'done', 'rejected', 'failed')),
    command_type    text        collate "C" not null,
    stream_type     text        collate "C" not null,
    principal       text        collate "C" not null check (octet_length(principal) between 1 and 512),
    idempotency_key text        collate "C" check (octet_length(idempotency_key) between 1 and 800),
    correlation_id  text        collate "C" not null,
    fingerprint     bytea       not null,
    answer          jsonb,
    constraint commands_pkey primary key (command_id)
);

-- A client's key is unique per principal. Partial: a command without a key costs no entry.
create unique index commands_principal_key on log.commands (principal, idempotency_key)
    where idempotency_key is not null;

-- Cleaning walks from the oldest; a block range index costs next to nothing, since rows arrive in this order.
create index commands_recorded_at on log.commands using brin (recorded_at) with (autosummarize = on);

grant select on log.commands to annals_writer, annals_reader;
