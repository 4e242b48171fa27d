-- Drops a generation's tables; not at the price of standing in anybody's way.
set local role annals_projector;
set local lock_timeout = '50ms';
drop schema if exists {{schema}} cascade;
