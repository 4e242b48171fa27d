-- Tells every process with workers that somebody waits for a projection ($1).
select pg_notify('annals_wanted', $1)
