-- How many claims are stored.
select count(*) from log.claims
