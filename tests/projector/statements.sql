-- Notes how many rows each statement makes in the counters' table.
create table public.statements (rows bigint not null);
create function public.note_statement() returns trigger language plpgsql security definer as $$
begin
    insert into public.statements select count(*) from made;
    return null;
end
$$;
create trigger note_statement after insert on projection_counters_1.counters
    referencing new table as made for each statement execute function public.note_statement();
