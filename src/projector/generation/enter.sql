-- Makes the rest of a transaction the projector's, in a generation's schema.
set local role annals_projector;
set local search_path = {{schema}}, pg_temp;
