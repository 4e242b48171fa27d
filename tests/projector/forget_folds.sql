-- What a crash of the database can take of the counters' folds, whose commits do not wait for the disk: rows and checkpoints,
-- as they were before the first one.
begin;
update projections.checkpoints
set position = 0, next_offset = null, topic_id = null, applied = 0, ignored = 0, parked = 0
where projection = 'counters';
delete from projection_counters_1.counters;
commit;
