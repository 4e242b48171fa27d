-- How the following statements are planned ($1), and whether reading a whole table may be a way ($2), until the
-- transaction ends.
select set_config('plan_cache_mode', $1, true), set_config('enable_seqscan', $2, true)
