-- As autovacuum leaves a log of this size.
vacuum analyze log.events
