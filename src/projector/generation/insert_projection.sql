-- A new projection ($1 name) whose live generation is $2.
insert into projections.projections (projection, live_generation) values ($1, $2)
