-- A page of rows as JSON, and of each the values it is sorted by, for the cursor; at the end of each, how many rows there were
-- before those that would have made the page larger than so many bytes were left out. The folder allows only filters and sorts
-- that its indexes serve.
select p.*
from (
    select l.*, count(*) over () as "$rows",
           sum(octet_length(l."$row"::text)) over (rows between unbounded preceding and 1 preceding) as "$before"
    from (
        select row_to_json("$r") as "$row", {{sorted_by}}
        from {{schema}}.{{table}} "$r"
        where {{conditions}}
        order by {{order}}
        limit {{limit}}
    ) l
) p
where coalesce(p."$before", 0) < {{bytes}}
