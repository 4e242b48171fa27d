-- Has the session's commits wait for the disk where the server or the role says that they need not.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') = 'off'
