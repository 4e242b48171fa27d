-- The generations of a projection ($1 name) that follow the log, the one that serves first. Probes the primary keys.
select g.generation, g.schema_name, g.version, g.folder, g.made_for
from projections.projections p
join projections.generations g on g.projection = p.projection
where p.projection = $1 and g.follows
order by g.generation <> p.live_generation, g.generation
