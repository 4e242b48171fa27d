-- Takes ($1 who, $2 for how many seconds) a rebuild that nobody carries on, and that is not made for newer events than are known
-- ($3: schema version by event type).
update projections.rebuilds r
set holder = $1, leased_until = clock_timestamp() + make_interval(secs => $2)
where r.id = (
    select w.id
    from projections.rebuilds w
    where w.state in ('running', 'catching-up', 'comparing')
      and (w.leased_until is null or w.leased_until < clock_timestamp())
      and not exists (
          select from (
              select w.made_for
              union all
              select g.made_for from projections.generations g
              where g.projection = w.projection and (g.follows or g.generation = w.generation)
          ) f, jsonb_each_text(f.made_for) m
          where m.value::integer > coalesce(($3::jsonb ->> m.key)::integer, 0)
      )
    order by w.created_at
    limit 1
    for update skip locked
)
returning to_jsonb(r) - 'folder'
