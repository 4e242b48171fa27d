-- Projections as they stand, by name: all, or the one named $1. There are few. $2 is the log's end, $3 by name how far each
-- is behind it.
select jsonb_build_object(
           'name', p.projection,
           'state', case when p.stopped is not null then 'stopped' when p.paused then 'paused' else 'running' end,
           'stopped', p.stopped,
           'live_generation', p.live_generation,
           'head', $2::bigint,
           'lag', coalesce($3::jsonb -> p.projection, '{"events": 0, "seconds": 0}'),
           'generations', (
               select coalesce(jsonb_agg(jsonb_build_object(
                          'generation', g.generation, 'version', g.version, 'fingerprint', g.fingerprint,
                          'follows', g.follows, 'created_at', g.created_at, 'retired_at', g.retired_at)
                          order by g.generation), '[]')
               from projections.generations g where g.projection = p.projection),
           'checkpoints', (
               select coalesce(jsonb_agg(jsonb_build_object(
                          'generation', c.generation, 'stream_type', c.stream_type, 'partition', c.partition,
                          'position', c.position, 'applied', c.applied, 'ignored', c.ignored, 'parked', c.parked)
                          order by c.generation, c.stream_type, c.partition), '[]')
               from projections.checkpoints c where c.projection = p.projection))
from projections.projections p
where $1::text is null or p.projection = $1
order by p.projection
