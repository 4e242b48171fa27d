-- The state of a read model, and the row with a key as JSON; null where there is none. Probes the table's primary key.
select o.*, (
    select row_to_json("$r")
    from {{schema}}.{{table}} "$r"
    where {{conditions}}
    limit 1
) as row
from (
{{open}}
) o
