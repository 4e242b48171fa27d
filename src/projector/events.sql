    -- The events of one group, all of one type ($1 stream type, $2 event type, $3 schema version of the data), one
    -- array per column ($4 to $10). The planner sees the arrays' real length in a custom plan, 10 rows in a generic one.
    -- Metadata comes as text: a statement that reads `events` once parses it only where it uses it.
    select e.position, $1::text as stream_type, e.stream_id, e.version, e.event_id, $2::text as event_type,
           $3::integer as schema_version, e.data, e.metadata::jsonb as metadata, e.recorded_at
    from unnest($4::bigint[], $5::uuid[], $6::bigint[], $7::uuid[], $8::jsonb[], $9::text[], $10::timestamptz[])
         as e (position, stream_id, version, event_id, data, metadata, recorded_at)
