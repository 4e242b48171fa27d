-- The API reads a generation's tables.
grant usage on schema {{schema}} to annals_reader;
grant select on all tables in schema {{schema}} to annals_reader;
