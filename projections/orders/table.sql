-- Room on each page, and no index on what changes with every event: updates stay heap-only and touch no index. A table
-- of full pages would grow as large: by the versions that updates leave on other pages.
create table orders (
    id          uuid          primary key,
    customer_id text          not null,
    status      text          not null,
    total       numeric(16,2) not null,
    paid        numeric(16,2) not null default 0,
    refunded    numeric(16,2) not null default 0,
    items       jsonb         not null,
    external_id text,
    created_at  timestamptz   not null,
    updated_at  timestamptz   not null,
    version     bigint        not null
) with (fillfactor = 40);
