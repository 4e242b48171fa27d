-- Forgets generations ($2) of a projection ($1).
delete from projections.generations g
where g.projection = $1 and g.generation = any ($2)
