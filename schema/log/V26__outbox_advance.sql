-- Records what Kafka acknowledged: the cursor, and the last position sent to each partition named. Only for the holder
-- of this epoch (compare-and-set); false for any other. Committed without waiting for the disk: after a crash of the
-- database the state may lag, and the relay finds the truth in the topics' tails. Where the crash took what this holder
-- recorded (`recorded`, its last cursor), the answer is false too: on top of it the cursor would speak of partitions
-- whose last positions are lost.
create function log.outbox_advance(
    holder       text,
    epoch        bigint,
    recorded     bigint,
    cursor       bigint,
    stream_types text[],
    partitions   integer[],
    last_sent    bigint[]
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
#variable_conflict use_column
begin
    perform set_config('synchronous_commit', 'off', true);

    update log.outbox o
    set cursor = greatest(o.cursor, outbox_advance.cursor)
    where o.holder = outbox_advance.holder and o.epoch = outbox_advance.epoch and o.cursor >= recorded;
    if not found then
        return false;
    end if;

    insert into log.outbox_partitions as p (stream_type, partition, last_sent)
    select s.stream_type, s.partition, s.last_sent
    from unnest(stream_types, partitions, outbox_advance.last_sent) as s (stream_type, partition, last_sent)
    on conflict (stream_type, partition) do update
        set last_sent = greatest(p.last_sent, excluded.last_sent);
    return true;
end
$$;

revoke execute on function log.outbox_advance(text, bigint, bigint, bigint, text[], integer[], bigint[]) from public;
grant execute on function log.outbox_advance(text, bigint, bigint, bigint, text[], integer[], bigint[]) to annals_writer;
