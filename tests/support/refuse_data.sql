-- Has the database refuse events that say so, as it does what no check of the program knows.
create function log.refuse_data() returns trigger
language plpgsql
as $$
begin
    if new.data ? 'refused' then
        raise exception using errcode = 'invalid_text_representation', message = 'refused by a test';
    end if;
    return new;
end
$$;

create trigger refuse_data before insert on log.events for each row execute function log.refuse_data();
