-- Gives the command $1 up; $2 is what its caller is told.
select log.fail_accepted($1, $2)
