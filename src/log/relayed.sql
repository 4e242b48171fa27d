-- The relay's cursor, and the last position sent to each partition: one row per partition, at least one. One statement,
-- so that both are of one moment.
select o.cursor, p.stream_type, p.partition, p.last_sent
from log.outbox o
left join log.outbox_partitions p on true
