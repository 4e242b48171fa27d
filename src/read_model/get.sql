-- The row with a key, as JSON. Probes the table's primary key.
select row_to_json(r)
from {{schema}}.{{table}} r
where {{conditions}}
limit 1
