create index projects_name on projects (name, id);
create index projects_created_at on projects (created_at, id);
