create index customer_summary_total on customer_summary (total, customer_id);
