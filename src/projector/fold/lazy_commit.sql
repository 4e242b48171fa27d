-- The transaction's commit does not wait for the disk. After a crash of the database rows and checkpoints are both as they
-- were a moment before, and what came since is folded again.
select set_config('synchronous_commit', 'off', true)
