-- The relay's state and the log's head: one row per partition that was sent to, at least one. One statement, so that
-- all is of one moment.
select o.cursor,
       (select coalesce(max(e.position), 0) from log.events e) as head,
       o.holder,
       o.epoch,
       o.expires_at,
       o.holder is not null and o.expires_at > clock_timestamp() as is_held,
       p.stream_type,
       p.partition,
       p.last_sent
from log.outbox o
left join log.outbox_partitions p on true
order by p.stream_type, p.partition
