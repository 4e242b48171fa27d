-- A message to a stream that must not exist. $1 id, $2 stream, $3 data, $4 metadata.
select write_message($1, $2, 'order.created', $3, $4, -1)
