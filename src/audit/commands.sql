-- Commands before the id $1, newest first (ids are time-ordered), with outcome $2, of actor $3 (null: any), at most $4.
-- Looks at $5 rows at most, backwards in commands_pkey, or in commands_not_done for an outcome that is not `done`. Each
-- row tells the last one looked at and how many were; there is at least one row, with a null id where none fits.
with seen as materialized (
    select c.* from log.commands c
    where c.command_id < $1 and ($2::text is null or c.status = $2)
    order by c.command_id desc
    limit $5
), fitting as (
    select s.* from seen s where $3::text is null or s.principal = $3 order by s.command_id desc limit $4
)
select (select s.command_id from seen s order by s.command_id limit 1), (select count(*) from seen), c.command_id,
       json_build_object(
           'command_id', c.command_id, 'command_type', c.command_type, 'actor', c.principal, 'outcome', c.status,
           'stream_type', c.stream_type, 'stream_id', c.stream_id, 'version', c.version,
           'first_position', c.first_position, 'last_position', c.last_position,
           'idempotency_key', c.idempotency_key, 'correlation_id', c.correlation_id, 'recorded_at', c.recorded_at,
           'answer', c.answer)
from (select) one
left join fitting c on true
order by c.command_id desc nulls last
