-- Who this log is. One row. `log_id` names the log in event sources, tokens, checkpoints and Kafka ids, so that what
-- belongs to another log, or to this one before a restore, is recognised. `hash_key` keys the fingerprints of
-- commands and salts secret fields; it never leaves the database's servers.
create table log.identity (
    only_row   boolean     primary key default true check (only_row),
    log_id     uuid        not null,
    hash_key   bytea       not null check (length(hash_key) = 32),
    created_at timestamptz not null default clock_timestamp()
);

-- Two random uuids have 244 random bits from the server's strong generator; sha256 makes them 32 bytes.
insert into log.identity (log_id, hash_key)
values (gen_random_uuid(), sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

grant usage on schema log to annals_writer, annals_projector, annals_reader;
-- Whoever serves may see which migrations were applied.
grant select on log.migrations to annals_writer, annals_projector, annals_reader;
grant select on log.identity to annals_writer;
grant select (log_id, created_at) on log.identity to annals_projector, annals_reader;
