//! Settings as an operator gives them: where they come from, and what is told of those that are wrong.

mod support;

use std::collections::BTreeMap;

use annals::config::{Config, Origin, Sources};
use serde_json::Value;
use support::{Database, process::Process};

const SECRET: &str = "sesame-4711";

/// What `annals config` with these flags says of a setting: its value and where it comes from.
fn shown(database: &Database, flags: &[&str], name: &str) -> (String, String) {
    let printed = Process::run(database, flags, &[("relay_mode", "exactly-once")]);
    let settings: Value = printed.parse().expect("JSON");
    let mut settings = settings.as_array().expect("a list").iter();
    let setting = settings.find(|setting| setting["name"] == name).expect("it is shown");
    let text = |member: &str| setting[member].as_str().unwrap_or_default().to_owned();
    (text("value"), text("origin"))
}

/// docs/settings.md, as rows of name, default and what it takes.
#[test]
fn the_page_of_settings_is_true() {
    let page = include_str!("../docs/settings.md");
    let rows: BTreeMap<&str, [&str; 2]> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['`', ' '])).collect();
            assert!(cells.len() == 4 && cells[3].len() > 5, "{line}");
            (cells[0], [cells[1], cells[2]])
        })
        .collect();
    let needed = [("database_url", "postgres://user@127.0.0.1/annals".to_owned())];
    let config = Config::from_sources(Sources::of(needed)).expect("valid");
    let shown: BTreeMap<&str, [&str; 2]> = config
        .shown
        .iter()
        .map(|shown| {
            let default = shown.value.as_deref().filter(|_| shown.origin == Origin::Default);
            (shown.name, [default.unwrap_or_default(), &shown.takes])
        })
        .collect();
    assert_eq!(rows, shown);
}

#[tokio::test]
async fn a_variable_that_is_no_setting_is_told() {
    let database = Database::empty().await;
    let told = |name: &str| {
        let output = Process::output(&database, &["config"], &[(name, "x")]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(told("kafka_broker").contains("ANNALS_KAFKA_BROKER"), "a slip of the pen");
    assert_eq!(told("services"), "", "it is of scripts/");
}

#[tokio::test]
async fn a_flag_wins_wherever_it_stands() {
    let database = Database::empty().await;
    let flag = |value: &str| (value.to_owned(), "flag".to_owned());
    let both = ["--set", "relay_mode=low-latency", "config", "--json", "--set", "pool_size=7"];
    assert_eq!(shown(&database, &both, "relay_mode"), flag("low-latency"));
    assert_eq!(shown(&database, &both, "pool_size"), flag("7"));
    let twice = ["--set", "pool_size=7", "config", "--json", "--set", "pool_size=8"];
    assert_eq!(shown(&database, &twice, "pool_size"), flag("8"), "the last one");
    let none = shown(&database, &["config", "--json"], "relay_mode");
    assert_eq!(none, ("exactly-once".to_owned(), "environment".to_owned()));
}

#[tokio::test]
async fn a_flag_that_sets_nothing_is_wrong() {
    let database = Database::empty().await;
    let (code, said) = Process::fail(&database, &["config", "--set", "relay_mood=low-latency"], &[]);
    assert!(code == Some(2) && said.contains("relay_mood") && said.contains("no such setting"), "{said}");
    let (code, said) = Process::fail(&database, &["config", "--set", "relay_mode"], &[]);
    assert!(code == Some(2) && said.contains("is not like relay_mode=low-latency"), "{said}");
}

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

#[tokio::test]
async fn a_faulty_file_is_told_without_what_stands_in_it() {
    let database = Database::empty().await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("annals.toml");
    std::fs::write(&file, format!("pool_size = 8\nreader_url = postgres://u:{SECRET}@h/d\n"))
        .expect("written");
    let (code, said) = Process::fail(&database, &["config", "--config", file.to_str().expect("UTF-8")], &[]);
    assert!(code == Some(2) && said.contains("line 2: "), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn what_belongs_to_kafka_is_known_without_it() {
    let settings = [("database_url", "postgres://u@h/d"), ("kafka_replication", "3")];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    assert!(Config::from_sources(Sources::of(settings)).is_ok_and(|config| config.kafka.is_none()));
}
