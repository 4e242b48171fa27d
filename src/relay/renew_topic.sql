-- Gives the topic of a stream type ($3) a new incarnation, for the holder ($1) with this epoch ($2).
select log.renew_topic($1, $2, $3)
