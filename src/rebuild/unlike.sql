-- Rows of a table that the other generation does not have so, the first of them in the order of their text. Without those
-- that name one of these streams ($1) in one of these columns.
select row_to_json("$r")::text from {{schema}}.{{table}} "$r" where not array[{{columns}}]::text[] && $1::text[]
except all
select row_to_json("$r")::text from {{other}}.{{table}} "$r" where not array[{{columns}}]::text[] && $1::text[]
order by 1
limit {{limit}}
