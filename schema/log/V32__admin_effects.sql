-- How far the events of admins were made true: what they say of keys and projections was done for all up to `position`.
-- One row. It may lag: doing it twice does nothing.
create table log.admin_effects (
    only_row boolean primary key default true check (only_row),
    position bigint  not null default 0
);

insert into log.admin_effects default values;

grant select, update (position) on log.admin_effects to annals_writer;
grant select on log.admin_effects to annals_reader;
