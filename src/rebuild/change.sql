-- Takes a rebuild ($1) from one of the states $2 to $3, if $4 holds it (null: whoever does), with what was found ($5) or
-- what went wrong ($6). A state that nobody works in has no holder.
update projections.rebuilds r
set state = $3,
    comparison = coalesce($5, r.comparison),
    error = $6,
    holder = case when $3 in ('catching-up', 'comparing') then r.holder end,
    leased_until = case when $3 in ('catching-up', 'comparing') then r.leased_until end,
    events_done = case when $3 in ('done', 'waiting') then r.events_total else r.events_done end,
    ended_at = case when $3 in ('done', 'failed', 'cancelled') then clock_timestamp() end
where r.id = $1 and r.state = any ($2) and ($4::uuid is null or r.holder = $4)
returning to_jsonb(r) - 'folder'
