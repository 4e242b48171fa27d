-- Reads a value ($1) as the type it is declared with.
select $1
