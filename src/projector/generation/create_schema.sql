-- A generation's schema. It belongs to the role, not to the login, so that several logins can share the work; what
-- follows in the transaction runs as the role and makes its objects there.
create schema {{schema}} authorization annals_projector;
set local role annals_projector;
set local search_path = {{schema}}, pg_temp;
