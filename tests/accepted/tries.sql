-- How often the accepted command $1 was tried, and whether it was taken by somebody, who may have given it back.
select attempts || case when available_at > accepted_at then ', taken' else '' end
from log.accepted
where command_id = $1
