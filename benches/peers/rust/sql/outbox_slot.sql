-- Before the backlog, so that all of it lies behind the slot.
select pg_create_logical_replication_slot('debezium', 'pgoutput')
