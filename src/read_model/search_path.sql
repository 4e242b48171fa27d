-- Whose tables a folder's query means ($1), until the transaction ends.
select set_config('search_path', $1, true)
