-- Makes the relay begin anew; explained in schema/log: log.lease_revoke.
select log.lease_revoke()
