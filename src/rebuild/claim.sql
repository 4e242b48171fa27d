-- Takes ($1 who, $2 for how many seconds) a rebuild that nobody carries on.
update projections.rebuilds r
set holder = $1, leased_until = clock_timestamp() + make_interval(secs => $2)
where r.id = (
    select w.id
    from projections.rebuilds w
    where w.state in ('running', 'catching-up', 'comparing')
      and (w.leased_until is null or w.leased_until < clock_timestamp())
    order by w.created_at
    limit 1
    for update skip locked
)
returning to_jsonb(r) - 'folder'
