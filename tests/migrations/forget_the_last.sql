-- As if migrations from V45 on had not been applied.
delete from log.migrations where version >= 45;
drop function log.settled();
drop function log.give_back_accepted(uuid);
drop trigger note_answered on log.commands;
drop function log.note_answered();
