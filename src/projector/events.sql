    -- The events of one group, all of one type ($1 stream type, $2 event type, $3 schema version of the data), one
    -- array per column ($4 to $10). The planner sees the arrays' real length in a custom plan, 10 rows in a generic one.
    -- They are equally long and unnested side by side; in FROM each would fill a tuplestore.
    -- Metadata comes as text: a statement that reads `events` once parses it only where it uses it.
    select e.position, $1::text as stream_type, e.stream_id, e.version, e.event_id, $2::text as event_type,
           $3::integer as schema_version, e.data, e.metadata::jsonb as metadata, e.recorded_at
    from (select unnest($4::bigint[]) as position, unnest($5::uuid[]) as stream_id, unnest($6::bigint[]) as version,
                 unnest($7::uuid[]) as event_id, unnest($8::jsonb[]) as data, unnest($9::text[]) as metadata,
                 unnest($10::timestamptz[]) as recorded_at) e
