-- Appends an event ($3 its id) to a new stream ($2) by a command ($1), in a call of log.append of its own.
select log.append(
    array[$1::uuid], array['test'], array[null::text], array['\x01'::bytea], array['test.append'], array['test'],
    array['order'], array[$2::uuid], array[0::bigint], array[null::uuid], array[1], array['done'], array['{}'::jsonb],
    array[1], array[1], array[$3::uuid], array['order.created'], array[1], array['{}'::jsonb], array['{}'::jsonb],
    '{}', '{}', '{}', '{}', 8)
