-- How many events the generation of `sequence` that serves has numbered, and how many of them not in the log's order.
select count(*), count(*) filter (where s.number <> s.place)
from (select number, row_number() over (order by position) as place from {{schema}}.sequence) s
