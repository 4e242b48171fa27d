-- How many sessions a login ($1) has, and how many of them are encrypted.
select count(*), count(*) filter (where ssl)
  from pg_stat_activity join pg_stat_ssl using (pid)
 where usename = $1
