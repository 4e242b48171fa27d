-- How many orders the summaries speak of.
select coalesce(sum(orders), 0)::bigint from projection_customer_summary_1.customer_summary
