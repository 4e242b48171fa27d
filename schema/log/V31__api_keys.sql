-- Keys that API callers present. A key is random (256 bits), so its SHA-256 is enough to recognise it and says nothing
-- about it. A revoked key keeps its row: its actions stay attributable.
create table log.api_keys (
    key_id       uuid        primary key,
    key_hash     bytea       not null unique check (length(key_hash) = 32),
    name         text        not null check (char_length(name) between 1 and 100),
    roles        text[]      not null check (roles <@ array['consumer', 'admin', 'auditor'] and cardinality(roles) > 0),
    created_at   timestamptz not null default clock_timestamp(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- A key that was made stays as it is: it is only marked as used and revoked.
grant select, insert, update (last_used_at, revoked_at) on log.api_keys to annals_writer;
