-- Changes of the second generation's counters are cancelled (SQLSTATE 57014) for as many times as public.cancelled_at_most says.
create sequence public.cancelled;
grant usage on sequence public.cancelled to public;
create table public.cancelled_at_most (times bigint);
insert into public.cancelled_at_most values (1);
grant select on public.cancelled_at_most to public;
create function public.cancel() returns trigger language plpgsql as $$
begin
    if nextval('public.cancelled') <= (select times from public.cancelled_at_most) then
        raise exception 'canceling statement' using errcode = 'query_canceled';
    end if;
    return new;
end
$$;
create trigger cancel before insert or update on projection_counters_2.counters
    for each row execute function public.cancel();
