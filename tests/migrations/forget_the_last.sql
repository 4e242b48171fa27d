-- As if the last migrations had not been applied, of which the first makes a trigger on the table of commands.
delete from log.migrations where version >= 40;
drop trigger note_answered on log.commands;
drop function log.note_answered();
