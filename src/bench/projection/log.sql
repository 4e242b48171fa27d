-- Fills a log with $1 orders of five events each, past log.append, which only the owner can, for speed: blocks of 1,000
-- orders go through their lives side by side, so a batch holds several events of a stream.
with numbered as (
    select p as position, (p - 1) / 5000 * 1000 + (p - 1) % 1000 as number, (p - 1) / 1000 % 5 + 1 as step
    from generate_series(1, $1::bigint * 5) as p
)
insert into log.events (position, version, recorded_at, stream_id, event_id, schema_version, stream_type, event_type, data, metadata)
select n.position, n.step, timestamptz '2026-01-01 00:00:00Z' + n.position * interval '1 millisecond',
       md5('order-' || n.number)::uuid, md5('event-' || n.position)::uuid, 1, 'order',
       (array['order.created', 'order.confirmed', 'order.paid', 'order.shipped', 'order.delivered'])[n.step],
       case n.step
           when 1 then jsonb_build_object(
               'customer_id', 'customer-' || n.number % 10000, 'total', 28.50,
               'items', '[{"sku":"tea-earl-grey-100g","quantity":2,"unit_price":4.50},{"sku":"mug-blue","quantity":1,"unit_price":19.50}]'::jsonb)
           when 3 then jsonb_build_object('amount', 28.50, 'reference', 'card-' || n.number)
           else '{}'
       end,
       '{"actor": "bench", "command_id": "00000000-0000-0000-0000-000000000000", "correlation_id": "bench"}'
from numbered n
order by n.position
