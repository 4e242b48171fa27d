-- The next events after $1, as pollers of a bigserial read them.
select position from events where position > $1 order by position limit 1000
