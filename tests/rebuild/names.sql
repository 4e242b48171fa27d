-- The names that each of two generations holds.
select 1, name from projection_names_1.names
union all
select 2, name from projection_names_2.names
order by 1, 2
