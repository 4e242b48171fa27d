-- Accepts a command to be done later; the parameters are explained in schema/log: log.accept.
select log.accept($1, $2, $3, $4, $5, $6, $7, $8, $9)
