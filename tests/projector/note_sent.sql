-- Notes the whole log as relayed.
update log.outbox set cursor = (select max(position) from log.events)
