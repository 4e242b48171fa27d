-- How many rows a table has, and the sum of their hashes: the same for the same rows in whatever order.
select count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text from {{schema}}.{{table}} r
