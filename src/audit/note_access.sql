-- Notes a look at the audit: $1 id, $2 principal, $3 method, $4 path and query, with a Last-Event-ID, $5 correlation.
insert into log.access (access_id, principal, method, target, correlation_id)
values ($1, $2, $3, $4, $5)
