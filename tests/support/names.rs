//! The folder of a read model that parks streams: projects by unique names.

pub const NAMES: [(&str, &str); 4] = [
    (
        "projection.toml",
        r#"
        name = "names"
        version = 1
        events = ["project.created", "project.deleted"]
        key = ["id"]
        rows = "shared"
        on_error = "park"
        "#,
    ),
    ("table.sql", "create table names (id uuid primary key, name text not null unique)"),
    ("on/project.created.sql", "insert into names select e.stream_id, e.data ->> 'name' from events e"),
    ("on/project.deleted.sql", "delete from names n using events e where n.id = e.stream_id"),
];
