-- Accepts a command to be done later; the parameters are explained in schema/log: log.accept. An earlier one that is told
-- of is on the disk.
select earlier, case when earlier is not null then log.flush() end
from log.accept($1, $2, $3, $4, $5, $6, $7, $8, $9) as earlier
