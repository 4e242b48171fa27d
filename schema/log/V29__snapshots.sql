-- The state of long aggregates at a version, so that loading one need not fold its whole history. Worth nothing by
-- itself: it can be deleted at any time and is computed again from the events. `revision` is of the code that wrote the
-- state; another revision's is not used. One row per stream; fillfactor leaves room for the next state on the page.
create table log.snapshots (
    version     bigint  not null check (version > 0),
    stream_id   uuid    not null,
    revision    integer not null,
    stream_type text    collate "C" not null,
    state       jsonb   not null,
    constraint snapshots_pkey primary key (stream_id, stream_type)
) with (fillfactor = 70);

grant select on log.snapshots to annals_writer;
