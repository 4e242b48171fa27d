-- A command's row ($1 id), which is on the disk when it is told. One probe of commands_pkey.
select to_jsonb(c) - 'fingerprint', log.flush() from log.commands c where c.command_id = $1
