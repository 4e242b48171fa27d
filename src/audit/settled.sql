-- Up to when all is recorded; explained in schema/log: log.settled. A transaction of its own.
select log.settled()
