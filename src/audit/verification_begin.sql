-- Notes that a verification ($1 id) was begun by $2.
insert into log.verifications (verification_id, principal) values ($1, $2)
