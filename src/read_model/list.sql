-- A page of rows as JSON, and of each the values it is sorted by, for the cursor. The folder allows only filters and
-- sorts that its indexes serve.
select row_to_json(r), {{sorted_by}}
from {{schema}}.{{table}} r
where {{conditions}}
order by {{order}}
limit {{limit}}
