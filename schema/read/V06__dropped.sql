-- The highest number that a generation of a dropped read model had. One that is made anew under its name goes on from there,
-- so that neither a worker nor a reader takes its generations for those that they knew.
create table projections.dropped (
    projection text    primary key,
    generation integer not null check (generation > 0)
);

grant select, insert, update on projections.dropped to annals_projector;
grant select on projections.dropped to annals_reader;
