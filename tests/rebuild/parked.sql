-- What each generation of `names` has parked.
select generation, position from projections.parked where projection = 'names' order by 1, 2
