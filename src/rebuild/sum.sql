-- How many rows, and the sum of their hashes: the same for the same rows in whatever order. Without those that name one of
-- these streams ($1) in one of these columns.
select count(*), coalesce(sum(hashtextextended("$r"::text, 0)::numeric), 0)::text
from {{schema}}.{{table}} "$r"
where not array[{{columns}}]::text[] && $1::text[]
