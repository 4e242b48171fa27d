-- Takes back what disk_is_full.sql did.
drop trigger disk_is_full on projection_counters_1.counters;
drop function public.disk_is_full();
