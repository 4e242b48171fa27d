-- At how many positions the partitions stand.
select count(distinct position) from projections.checkpoints
