-- What each generation of `names` has set apart.
select generation, position from projections.parked where projection = 'names' order by 1, 2
