-- The newest schema version of each event that a generation's SQL, or a rebuild's folder, was made for. A program that knows
-- only older ones would give it events of the older form: it leaves them to newer programs.
alter table projections.generations add column made_for jsonb not null default '{}';
alter table projections.rebuilds add column made_for jsonb not null default '{}';
