-- The events that have not been relayed yet, in order.
create view log.outbox_pending as
select e.*
from log.events e
where e.position > (select o.cursor from log.outbox o)
order by e.position;

grant select on log.outbox_pending to annals_writer, annals_reader;
