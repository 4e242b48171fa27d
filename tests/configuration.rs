//! Settings as an operator gives them: where they come from, and what is told of those that are wrong.

mod support;

use support::{Database, process::Process};

const SECRET: &str = "sesame-4711";

#[tokio::test]
async fn every_fault_is_told_before_anything_starts() {
    let database = Database::empty().await;
    let settings = [
        ("log", "info,annals=loud"),
        ("database_url", &format!("host=db password={SECRET} sslmode=require")),
        ("migrator_url", &format!("postgres://u:{SECRET}@h:port/d")),
        ("writer_url", &format!("postgres://u:{SECRET}@h/d?sslmode=maybe")),
        ("projector_url", &format!("postgres://u:{SECRET}@h/d?sslkey=/k")),
        ("reader_url", &format!("postgres://u:{SECRET}@h/d?sslrootcert=/nonexistent")),
        ("read_models_url", &format!("mysql://u:{SECRET}@h/d")),
        ("read_models_migrator_url", &format!("postgresql://u:{SECRET}@h/d?mood=good")),
        ("pool_size", "0"),
    ];
    let (code, said) = Process::fail(&database, &["keys", "list"], &settings);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("{} fault(s)", settings.len())), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    for (name, sign) in [
        ("LOG", "a filter is like `info,annals::relay=debug`"),
        ("DATABASE_URL", "begin with postgres://"),
        ("MIGRATOR_URL", "`port`"),
        ("WRITER_URL", "`sslmode=maybe`"),
        ("PROJECTOR_URL", "`sslcert` and `sslkey` go together"),
        ("READER_URL", "/nonexistent"),
        ("READ_MODELS_URL", "begin with postgres://"),
        ("READ_MODELS_MIGRATOR_URL", "`mood`"),
        ("POOL_SIZE", "not within"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("(ANNALS_{name})")));
        assert!(line.is_some_and(|line| line.contains(sign)), "{name}: {said}");
    }
}
