-- Accepts a command to be done later; the parameters are explained in schema/log: log.accept. What is told of is on the
-- disk, also where the role or the server says that commits need not wait for it.
select earlier, log.flush()
from log.accept($1, $2, $3, $4, $5, $6, $7, $8, $9) as earlier
