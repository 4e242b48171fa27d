-- Whose tables the folder's statements mean ($1), until the transaction ends.
select set_config('search_path', $1, true)
