-- Rows in Postgres's binary form.
copy events (stream_id, version, event_type, data, metadata) from stdin (format binary)
