-- The relay's state as it was before anything was relayed.
update log.outbox set cursor = 0;
delete from log.outbox_partitions;
