-- What follows the log and has come further than its end $1. A probe of event_index_pkey and a few rows.
select f.name, f.position
from (
    select 'log.event_index', max(i.position) from log.event_index i
    union all
    select 'log.outbox', o.cursor from log.outbox o
    union all
    select 'log.outbox_partitions', max(p.last_sent) from log.outbox_partitions p
    union all
    select 'log.admin_effects', a.position from log.admin_effects a
) as f (name, position)
where f.position > $1
