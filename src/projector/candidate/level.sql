-- Hands a generation ($1 projection, $2 number) over to the projection's workers, under the lock of every checkpoint that
-- stands where the generation's own does: it gets the live one's places in Kafka, those that follow get checkpoints of the
-- stream types that only the new one reads (whose events they ignored), and it follows.
with live as (
    select c.stream_type, c.partition, c.next_offset, c.topic_id
    from projections.checkpoints c
    join projections.projections p on p.projection = c.projection and p.live_generation = c.generation
    where c.projection = $1
), placed as (
    update projections.checkpoints c set next_offset = l.next_offset, topic_id = l.topic_id
    from live l
    where c.projection = $1 and c.generation = $2 and c.stream_type = l.stream_type and c.partition = l.partition
), added as (
    insert into projections.checkpoints (projection, generation, stream_type, partition, position, log_id, ignored)
    select c.projection, g.generation, c.stream_type, c.partition, c.position, c.log_id, c.applied + c.ignored + c.parked
    from projections.checkpoints c
    join projections.generations g on g.projection = c.projection and g.follows
    where c.projection = $1 and c.generation = $2
    on conflict do nothing
)
update projections.generations g set follows = true where g.projection = $1 and g.generation = $2
