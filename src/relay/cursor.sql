-- How far the relay is: everything up to this position is in Kafka. One row.
select cursor from log.outbox
