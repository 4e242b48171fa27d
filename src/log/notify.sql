-- Tells listeners the log's new head ($1, as text).
select pg_notify('annals_log', $1)
