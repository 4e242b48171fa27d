-- Notes how far a checkpoint moves at once, by projection and generation.
create table public.steps (projection text not null, generation integer not null, step bigint not null);
create function public.note_step() returns trigger language plpgsql security definer as $$
begin
    insert into public.steps values (new.projection, new.generation, new.position - old.position);
    return null;
end
$$;
create trigger note_step after update on projections.checkpoints
    for each row when (new.position > old.position) execute function public.note_step();
