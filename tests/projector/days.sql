-- Three days in a row, and one a week later.
truncate projection_daily_revenue_1.daily_revenue;
insert into projection_daily_revenue_1.daily_revenue (day, payments, paid, refunds, refunded)
values ('2026-03-01', 1, 10, 0, 0), ('2026-03-02', 1, 20, 1, 0.5), ('2026-03-03', 1, 30, 0, 0), ('2026-03-10', 1, 40, 0, 0)
