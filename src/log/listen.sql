listen annals_log
