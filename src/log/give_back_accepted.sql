-- Has the last taking of the accepted command $1 not count as an attempt.
select log.give_back_accepted($1)
