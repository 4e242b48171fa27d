-- Records what Kafka acknowledged; the parameters are explained in schema/log: log.outbox_advance.
select log.outbox_advance($1, $2, $3, $4, $5, $6, $7)
