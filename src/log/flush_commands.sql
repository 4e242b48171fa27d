-- How many of these commands ($1) are answered, and that on the disk.
select (select count(*) from log.commands c where c.command_id = any ($1) and c.status <> 'pending'), log.flush()
