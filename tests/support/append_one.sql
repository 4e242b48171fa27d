-- One event, appended as log.append does it: under its lock, with a time that is taken then.
select pg_advisory_xact_lock(log.append_lock());
insert into log.events (position, version, recorded_at, stream_id, event_id, schema_version, stream_type, event_type, data,
                        metadata)
values (1, 1, clock_timestamp(), gen_random_uuid(), gen_random_uuid(), 1, 'counter', 'counter.reset', '{}', '{}');
