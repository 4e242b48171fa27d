-- From now on the commit of whatever writes to a table ({{table}}) waits for who holds the advisory lock 1.
create function public.wait_to_commit() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(1);
    return null;
end
$$;
create constraint trigger waits after insert or update on {{table}}
    deferrable initially deferred for each row execute function public.wait_to_commit();
