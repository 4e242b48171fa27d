-- How the following statements are planned ($1), until the transaction ends.
select set_config('plan_cache_mode', $1, true)
