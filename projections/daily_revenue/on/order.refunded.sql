insert into daily_revenue as d (day, payments, paid, refunds, refunded)
select (e.recorded_at at time zone 'UTC')::date, 0, 0, count(*), sum((e.data ->> 'amount')::numeric)
from events e
group by 1
on conflict (day) do update
    set refunds = d.refunds + excluded.refunds, refunded = d.refunded + excluded.refunded
