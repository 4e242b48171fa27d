-- Lengthens the lease of a holder ($1) with an epoch ($2) to so many milliseconds ($3) from now; false when lost.
select log.lease_renew($1, $2, $3::bigint * interval '1 millisecond')
