-- The rows of a folder's query as JSON, at most so many, and how many there were before those that would have made the answer
-- larger than so many bytes were left out.
select p.*
from (
    select l.*, count(*) over () as "$rows",
           sum(octet_length(l."$row"::text)) over (rows between unbounded preceding and 1 preceding) as "$before"
    from (
        select row_to_json("$q") as "$row"
        from (
{{query}}
        ) "$q"
        limit {{limit}}
    ) l
) p
where coalesce(p."$before", 0) < {{bytes}}
