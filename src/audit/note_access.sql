-- Notes a look at the audit: $1 id, $2 principal, $3 method, $4 path and query, cut where they are endless, $5 correlation.
insert into log.access (access_id, principal, method, target, correlation_id)
values ($1, $2, $3, left($4, 4000), $5)
