-- Takes the lease for a holder ($1) for so many milliseconds ($2); its epoch, or null while another holds it. One row.
select log.lease_take($1, $2::bigint * interval '1 millisecond')
