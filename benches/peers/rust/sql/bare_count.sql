-- What is stored.
select count(*) from events
