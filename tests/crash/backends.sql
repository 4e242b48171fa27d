-- The processes that serve sessions of the program in this database.
select pid from pg_stat_activity where application_name = 'annals' and datname = current_database() order by pid
