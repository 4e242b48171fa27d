-- The auditors' index holds only what is on the disk, because its own commit waits for the disk. It was declared not to,
-- in a way that has no effect: a function's settings end with the function, before the commit.
alter function log.index_events(integer) reset synchronous_commit;
