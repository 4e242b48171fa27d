-- What a rebuild ($1) is to be built from, locked, if $2 still holds it and no generation was made.
select r.folder
from projections.rebuilds r
where r.id = $1 and r.holder = $2 and r.generation is null
for update
