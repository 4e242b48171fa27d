-- `revenue` is what is left of the day's payments after the day's refunds, whatever day those were paid on.
create table daily_revenue (
    day      date          primary key,
    payments bigint        not null,
    paid     numeric(38,2) not null,
    refunds  bigint        not null,
    refunded numeric(38,2) not null,
    revenue  numeric(38,2) not null generated always as (paid - refunded) stored
) with (fillfactor = 70);
