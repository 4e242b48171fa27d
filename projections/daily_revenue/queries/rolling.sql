-- $1 days, $2 first day, $3 last day. Walks the primary key, from so many days before the first one.
select r.day, r.revenue, r.rolling_revenue
from (
    select d.day, d.revenue,
           sum(d.revenue) over (
               order by d.day
               range between make_interval(days => least(greatest($1, 1), 3660)::integer - 1) preceding and current row
           ) as rolling_revenue
    from daily_revenue d
    where d.day > coalesce($2, '0001-01-01') - least(greatest($1, 1), 3660)::integer
      and d.day <= coalesce($3, '9999-12-31')
) r
where r.day >= coalesce($2, '0001-01-01')
order by r.day
