-- Gives the log a new identity; explained in schema/log: log.begin_incarnation.
select log.begin_incarnation()
