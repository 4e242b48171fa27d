-- The rows of a folder's query as JSON, at most so many.
select row_to_json(q)
from (
{{query}}
) q
limit {{limit}}
