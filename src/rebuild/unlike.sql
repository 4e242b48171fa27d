-- Rows of a table that the other generation does not have so, the first of them in the order of their text.
select row_to_json(r)::text from {{schema}}.{{table}} r
except all
select row_to_json(r)::text from {{other}}.{{table}} r
order by 1
limit {{limit}}
