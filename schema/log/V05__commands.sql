-- One row for each command that was answered (or accepted to be done later), written in the transaction that holds
-- its events. It makes a repeat get the first answer. Rows are deleted when their time of keeping is over; the events
-- stay.
--   status       pending: accepted, not done yet; done; rejected: the domain said no; failed: given up after its tries
--   answer       what the caller was told, without its transport: the result, or the rejection
--   recorded_at  when it was answered, or accepted where it is pending (log.note_answered)
--   version      the stream's version after the command, or the one a rejection was decided on
-- The functions that write rows (log.append, log.accept) check status, principal and key: each statement would read the
-- expressions of such constraints anew, which was a tenth of a small append.
create table log.commands (
    first_position  bigint,
    last_position   bigint,
    version         bigint,
    recorded_at     timestamptz not null,
    command_id      uuid        not null,
    stream_id       uuid        not null,
    status          text        collate "C" not null,
    command_type    text        collate "C" not null,
    stream_type     text        collate "C" not null,
    principal       text        collate "C" not null,
    idempotency_key text        collate "C",
    correlation_id  text        collate "C" not null,
    fingerprint     bytea       not null,
    answer          jsonb,
    constraint commands_pkey primary key (command_id)
);

-- A client's key is unique per principal. Partial: a command without a key costs no entry.
create unique index commands_principal_key on log.commands (principal, idempotency_key)
    where idempotency_key is not null;

-- Cleaning walks from the oldest command on. A block range index would not do for ever: pages that were cleaned are filled
-- again, and its ranges never narrow, so in the end each step would read the whole table. New entries go to the index's
-- right edge.
create index commands_recorded_at on log.commands (recorded_at);

-- What was not simply done, by outcome. Partial: a command that is done costs no entry.
create index commands_not_done on log.commands (status, command_id) where status <> 'done';

grant select on log.commands to annals_writer, annals_reader;
