-- A transaction that keeps its snapshot, and with it all later row versions, until it ends.
begin isolation level repeatable read;
select count(*) from log.events;
