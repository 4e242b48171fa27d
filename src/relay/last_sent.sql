-- The last position known to be sent, by partition. As many rows as there are partitions in use.
select stream_type, partition, last_sent from log.outbox_partitions
