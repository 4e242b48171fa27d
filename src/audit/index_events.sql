-- One step of the auditors' index, of at most $1 events; explained in schema/log: log.index_events.
select log.index_events($1)
