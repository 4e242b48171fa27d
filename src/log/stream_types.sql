-- The stream types that have events, with their partition counts and their topics' incarnations.
select stream_type, partitions, topic_id from log.stream_types order by stream_type
