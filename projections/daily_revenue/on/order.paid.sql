insert into daily_revenue as d (day, payments, paid, refunds, refunded)
select (e.recorded_at at time zone 'UTC')::date, count(*), sum((e.data ->> 'amount')::numeric), 0, 0
from events e
group by 1
on conflict (day) do update
    set payments = d.payments + excluded.payments, paid = d.paid + excluded.paid
