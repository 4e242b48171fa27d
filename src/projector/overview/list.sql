-- Every projection ($1: this one; null: all) as it stands, in one JSON object each.
select jsonb_build_object(
    'projection', p.projection,
    'version', l.version,
    'generation', p.live_generation,
    'state', case when p.stopped is not null then 'stopped' when p.paused then 'paused' else 'running' end,
    'stopped', p.stopped,
    'position', coalesce(c.position, 0),
    'applied', coalesce(c.applied, 0),
    'ignored', coalesce(c.ignored, 0),
    'parked', coalesce(c.parked, 0),
    'generations', (
        select jsonb_agg(jsonb_build_object(
            'generation', g.generation, 'version', g.version, 'follows', g.follows, 'created_at', g.created_at,
            'retired_at', g.retired_at
        ) order by g.generation)
        from projections.generations g
        where g.projection = p.projection
    ),
    'rebuild', (
        select jsonb_build_object('id', r.id, 'state', r.state)
        from projections.rebuilds r
        where r.projection = p.projection
        order by r.created_at desc
        limit 1
    )
)
from projections.projections p
join projections.generations l on l.projection = p.projection and l.generation = p.live_generation
cross join lateral (
    select max(c.position) as position, sum(c.applied) as applied, sum(c.ignored) as ignored, sum(c.parked) as parked
    from projections.checkpoints c
    where c.projection = p.projection and c.generation = p.live_generation
) c
where $1::text is null or p.projection = $1
order by p.projection
