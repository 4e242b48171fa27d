-- As if the last migration had not been applied: it makes a trigger on the table of commands.
delete from log.migrations where version = (select max(version) from log.migrations);
drop trigger note_answered on log.commands;
drop function log.note_answered();
