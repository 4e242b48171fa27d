-- Notes a counter's event as sent: $1 partition, $2 position.
insert into log.outbox_partitions (stream_type, partition, last_sent)
values ('counter', $1, $2)
on conflict (stream_type, partition) do update set last_sent = excluded.last_sent
