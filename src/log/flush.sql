-- The last position; all that was appended up to it is on the disk. 0 while the log is empty.
select log.flush()
