-- How long a migration waits for a table: whoever appends meanwhile waits behind it.
set lock_timeout = '2s'
