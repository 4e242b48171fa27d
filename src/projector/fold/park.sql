-- Parks events in a generation ($1 projection, $2 number), one array per column: $3 positions, $4 stream types,
-- $5 stream ids, $6 partitions, $7 versions, $8 event ids, $9 event types, and of those that failed $10 the statement,
-- $11 the SQLSTATE, $12 the error. Under the lock of their partitions' checkpoints.
insert into projections.parked (projection, generation, position, stream_type, stream_id, partition, version, event_id,
                                event_type, statement, sqlstate, error)
select $1, $2, e.*
from unnest($3::bigint[], $4::text[], $5::uuid[], $6::integer[], $7::bigint[], $8::uuid[], $9::text[], $10::text[],
            $11::text[], $12::text[]) as e
