-- Notes that the indexes of a rebuild's ($1) generation are made, if $2 still holds it.
update projections.rebuilds set indexed = true where id = $1 and holder = $2 and not indexed
