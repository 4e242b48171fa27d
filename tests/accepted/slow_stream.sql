-- Who reads a stream that stands in public.slow waits for as long as somebody holds the advisory lock 1.
create table public.slow (stream_id uuid);
grant select on public.slow to public;
create function public.read_slowly(stream_id uuid) returns boolean language plpgsql as $$
begin
    if exists (select from public.slow s where s.stream_id = read_slowly.stream_id) then
        perform pg_advisory_xact_lock_shared(1);
    end if;
    return true;
end
$$;
create policy slowly on log.events for select using (public.read_slowly(stream_id));
alter table log.events enable row level security;
