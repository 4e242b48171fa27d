-- The two generations that a rebuild ($1) is about: the one that serves and its own.
select l.schema_name, n.schema_name, l.fingerprint = n.fingerprint, r.projection, l.generation, n.generation
from projections.rebuilds r
join projections.projections p on p.projection = r.projection
join projections.generations l on l.projection = r.projection and l.generation = p.live_generation
join projections.generations n on n.projection = r.projection and n.generation = r.generation and n.follows
where r.id = $1
