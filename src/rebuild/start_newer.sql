-- Begins a rebuild ($1 id) of a projection ($2) by itself, because its folder has a higher version ($3) than the one that
-- serves and was never tried: $4 its files, $5 workers, $6 the events it is made for. What a person went back from, or what
-- failed, is left to people.
insert into projections.rebuilds (id, projection, folder, workers, made_for, swap)
select $1, p.projection, $4, $5, $6, 'auto'
from projections.projections p
join projections.generations g on g.projection = p.projection and g.generation = p.live_generation
where p.projection = $2 and g.version < $3
  and not exists (select from projections.rebuilds r where r.projection = $2 and r.folder = $4)
on conflict do nothing
