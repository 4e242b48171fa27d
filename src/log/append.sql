-- One batch; the parameters are explained in schema/log: log.append.
select outcome, version, first_position, last_position, claim, first
from log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                $23, $24, $25)
