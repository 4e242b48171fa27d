-- Keeps the state of a stream ($1 type, $2 id) at a version ($3), written by a revision ($4) of its aggregate ($5 state).
select log.keep_snapshot($1, $2, $3, $4, $5)
