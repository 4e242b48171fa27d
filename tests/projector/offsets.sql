-- How many checkpoints know where Kafka goes on.
select count(*) from projections.checkpoints where next_offset is not null
