-- Checkpoints that are not the same in every generation that follows.
select c.stream_type, c.partition
from projections.checkpoints c
join projections.generations g using (projection, generation)
where g.follows
group by c.projection, c.stream_type, c.partition
having count(distinct (c.position, c.next_offset, c.topic_id)) > 1
