-- How many events the newer generation of `sequence` has numbered, and how many of them not in the log's order.
select count(*), count(*) filter (where s.number <> s.place)
from (select number, row_number() over (order by position) as place from projection_sequence_2.sequence) s
