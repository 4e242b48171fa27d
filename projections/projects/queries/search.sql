-- $1 a part of the name. The characters that LIKE gives a meaning have none here.
select p.*
from projects p
where lower(p.name) like '%' || regexp_replace(lower($1), '([\\%_])', '\\\1', 'g') || '%'
order by p.name, p.id
limit 100
