-- Postgres' answer where there is no room for a row (SQLSTATE 53100), to every change of the counters' rows.
create function public.disk_is_full() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
end
$$;
create trigger disk_is_full before insert or update on projection_counters_1.counters
    for each row execute function public.disk_is_full();
