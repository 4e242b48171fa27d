-- Drops checkpoints of a projection ($1) that nobody moves any more: of stream types that none of the generations that
-- follow reads ($2 are those that one does).
delete from projections.checkpoints c
using projections.generations g
where c.projection = $1 and g.projection = $1 and g.generation = c.generation and g.follows
  and c.stream_type <> all ($2)
