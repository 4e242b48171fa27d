-- How many of these commands ($1) are answered, and that on the disk.
select log.flush_commands($1)
