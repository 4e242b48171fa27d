-- A command's row ($1 id). One probe of commands_pkey.
select to_jsonb(c) - 'fingerprint' from log.commands c where c.command_id = $1
