-- Which generations the projection's workers feed: the one that serves, a rebuilt one from its hand-over on, and the one
-- that served before until its time ends. All of them in the same transactions, so their checkpoints are equal. Says it
-- once per generation what stood with each checkpoint before.
--   retired_at   when it stopped serving; it follows on, so that going back to it is one update and never stale
alter table projections.generations
    add column follows    boolean not null default true,
    add column retired_at timestamptz;
alter table projections.checkpoints drop column follows;
