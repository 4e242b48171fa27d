-- Has the disk hold, once this is committed, all that could be seen.
select log.flush()
