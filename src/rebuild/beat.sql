-- Keeps a rebuild ($1) for its holder ($2) so many seconds more ($3), and notes how far it is in a log that ends at $4;
-- nothing when it is not the holder's any more. The furthest checkpoint: partitions without new events stand still.
update projections.rebuilds r
set leased_until = clock_timestamp() + make_interval(secs => $3),
    events_total = $4,
    events_done = coalesce((
        select max(c.position)
        from projections.checkpoints c
        where c.projection = r.projection and c.generation = r.generation
    ), 0)
where r.id = $1 and r.holder = $2 and r.state in ('running', 'catching-up', 'comparing')
returning r.events_done
