-- One row. $1 stream, $2 data, $3 metadata.
insert into events (stream_id, version, event_type, data, metadata) values ($1, 1, 'order.created', $2, $3)
