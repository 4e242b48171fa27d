//! What each role may do, walked statement by statement with logins of their own, against a table written by hand; and
//! the whole program on four logins, none of them a superuser.

mod support;

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use support::{
    kafka_brokers,
    logins::{Logins, PARTS},
    process::Process,
    server::{Answer, order},
    topic_prefix, until,
};
use tokio_postgres::{Client, error::SqlState};

/// By hand. For each table and view what the writer, the projector and the reader may do: select, insert, update,
/// delete, truncate; in brackets the columns, where it is not all of them.
const TABLES: &[(&str, [&str; 3])] = &[
    ("log.accepted", ["s", "", ""]),
    ("log.access", ["s i", "", "s"]),
    ("log.admin_effects", ["s u(position)", "", "s"]),
    ("log.api_keys", ["s i u(last_used_at,revoked_at)", "", ""]),
    ("log.claims", ["s", "", "s"]),
    ("log.commands", ["s", "", "s"]),
    ("log.event_index", ["s", "", "s"]),
    ("log.events", ["s", "s", "s"]),
    ("log.identity", ["s", "s(log_id,created_at)", "s(log_id,created_at)"]),
    ("log.migrations", ["s", "s", "s"]),
    ("log.outbox", ["s", "s", "s"]),
    ("log.outbox_partitions", ["s", "s", "s"]),
    ("log.outbox_pending", ["s", "", "s"]),
    ("log.snapshots", ["s", "", ""]),
    ("log.stream_types", ["s", "s", "s"]),
    ("log.verifications", ["s i u", "", "s"]),
    ("projections.checkpoints", ["", "s i u d", "s"]),
    ("projections.dropped", ["", "s i u", "s"]),
    ("projections.generations", ["", "s i u d", "s"]),
    ("projections.migrations", ["", "s", "s"]),
    ("projections.parked", ["", "s i u d", "s"]),
    ("projections.projections", ["", "s i u d", "s"]),
    ("projections.rebuilds", ["", "s i u d", "s"]),
];

/// By hand. Who may execute each function: writer, projector, reader.
const FUNCTIONS: &[(&str, [bool; 3])] = &[
    ("log.accept", [true, false, false]),
    ("log.append", [true, false, false]),
    ("log.append_lock", [false, false, false]),
    ("log.begin_incarnation", [false, false, false]),
    ("log.chained", [false, false, false]),
    ("log.clean_commands", [true, false, false]),
    ("log.fail_accepted", [true, false, false]),
    ("log.find_events", [true, false, true]),
    ("log.flush", [true, true, true]),
    ("log.flush_commands", [true, false, false]),
    ("log.flush_event", [true, true, true]),
    ("log.give_back_accepted", [true, false, false]),
    ("log.index_events", [true, false, false]),
    ("log.keep_snapshot", [true, false, false]),
    ("log.lease_renew", [true, false, false]),
    ("log.lease_revoke", [true, false, false]),
    ("log.lease_take", [true, false, false]),
    ("log.lost_claims", [false, false, false]),
    ("log.note_answered", [false, false, false]),
    ("log.outbox_advance", [true, false, false]),
    ("log.position_before", [true, false, true]),
    ("log.refuse_change", [false, false, false]),
    ("log.renew_topic", [true, false, false]),
    ("log.settled", [false, false, true]),
    ("log.take_accepted", [true, false, false]),
    ("log.uuid_or_null", [false, false, true]),
    ("projections.forget", [false, true, false]),
];

/// A migrated database of separate logins.
async fn migrated() -> Logins {
    let logins = Logins::new().await;
    run(&logins, &["migrate"], &["migrator", "writer", "projector", "reader"]);
    logins
}

fn run(logins: &Logins, arguments: &[&str], parts: &[&str]) -> String {
    Process::run(logins.database(), arguments, &borrowed(&logins.settings(parts)))
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Whether the rights allow a statement, whatever else is wrong with it; it is undone. A view cannot be truncated.
async fn may(client: &Client, statement: &str) -> bool {
    client.batch_execute("begin").await.expect("a transaction");
    let outcome = client.batch_execute(statement).await;
    client.batch_execute("rollback").await.expect("undone");
    let refusals = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::WRONG_OBJECT_TYPE];
    outcome.err().is_none_or(|error| !error.code().is_some_and(|state| refusals.contains(state)))
}

/// What a login may do with a table.
async fn rights(client: &Client, table: &str, columns: &[String]) -> String {
    let mut rights = Vec::new();
    for (letter, statement) in [
        ("s", "select {c} from {t} limit 0"),
        ("i", "insert into {t} default values"),
        ("u", "update {t} set {c} = null where false"),
        ("d", "delete from {t} where false"),
        ("t", "truncate {t}"),
    ] {
        let statement = statement.replace("{t}", table);
        let mut allowed = Vec::new();
        for column in columns {
            if may(client, &statement.replace("{c}", column)).await {
                allowed.push(column.as_str());
            }
        }
        if allowed.len() == columns.len() {
            rights.push(letter.to_owned());
        } else if !allowed.is_empty() {
            rights.push(format!("{letter}({})", allowed.join(",")));
        }
    }
    rights.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let logins = migrated().await;
    let admin = logins.database().client().await;
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in admin.query(include_str!("rights/columns.sql"), &[]).await.expect("the catalog") {
        columns.entry(row.get(0)).or_default().push(row.get(1));
    }
    let functions = admin.query(include_str!("rights/functions.sql"), &[]).await.expect("the catalog");
    let clients =
        [logins.connect("writer").await, logins.connect("projector").await, logins.connect("reader").await];
    let known: Vec<_> = TABLES.iter().map(|(table, _)| *table).collect();
    assert_eq!(columns.keys().collect::<Vec<_>>(), known, "the tables there are");
    for (table, expected) in TABLES {
        for ((client, expected), part) in clients.iter().zip(expected).zip(&PARTS[1..]) {
            assert_eq!(&rights(client, table, &columns[*table]).await, expected, "{part} on {table}");
        }
    }
    let names: Vec<String> = functions.iter().map(|row| row.get(0)).collect();
    let known: Vec<_> = FUNCTIONS.iter().map(|(function, _)| *function).collect();
    assert_eq!(names, known, "the functions there are");
    for (row, (function, expected)) in functions.iter().zip(FUNCTIONS) {
        let call: String = row.get(1);
        for ((client, expected), part) in clients.iter().zip(expected).zip(&PARTS[1..]) {
            assert_eq!(may(client, &call).await, *expected, "{part} calls {function}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_becomes_more_than_it_is() {
    let logins = migrated().await;
    for part in ["writer", "projector", "reader"] {
        let client = logins.connect(part).await;
        for statement in [
            "set role annals_owner",
            "set role annals_migrator",
            "alter table log.events disable trigger refuse_change",
            "drop table log.events",
            "create table log.mine (n integer)",
            "create table public.mine (n integer)",
            "grant annals_owner to current_user",
            "select hash_key from log.identity",
            "lock table log.events in access exclusive mode",
        ] {
            let is_key = part == "writer" && statement.contains("hash_key");
            assert_eq!(may(&client, statement).await, is_key, "{part}: {statement}");
        }
        assert_eq!(may(&client, "create schema mine").await, part == "projector", "{part}");
    }
    // The migrator has no rights either, until it becomes the owner; what was written stays even then.
    let migrator = logins.connect("migrator").await;
    for (table, _) in TABLES {
        assert!(!may(&migrator, &format!("select from {table}")).await, "{table}");
    }
    migrator.batch_execute("set role annals_owner").await.expect("it may");
    for statement in ["update log.events set position = 1", "delete from log.events", "truncate log.events"] {
        let refused = migrator.batch_execute(statement).await.expect_err("the triggers refuse");
        assert_eq!(refused.code(), Some(&SqlState::RESTRICT_VIOLATION), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_has_another_one_call_its_functions() {
    let logins = migrated().await;
    let (_, writer) = logins.urls["writer"].split_once("//").expect("a URL");
    let (writer, _) = writer.split_once(':').expect("a name and a password");
    // A schema of the user's name comes first, unless the session says otherwise.
    let trap = include_str!("rights/trap.sql").replace("{{schema}}", writer);
    logins.connect("projector").await.batch_execute(&trap).await.expect("it may make schemas");
    let config = logins.database().config(&[("database_url", &logins.urls["writer"])]);
    let pool = annals::postgres::pool(&config.databases.writer, &config.databases).expect("a pool");
    let client = pool.get().await.expect("a session");
    client.query_one("select to_jsonb(null::log.commands)", &[]).await.expect("it is Postgres' own");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_elsewhere_are_migrated_by_a_login_of_their_own() {
    let mut logins = Logins::new().await;
    let [migrator, read_models] = logins.part_read_models().await;
    let settings = |parts: &[&str], more: &[&(String, String)]| {
        let mut settings = logins.settings(parts);
        settings.extend(more.iter().map(|setting| (*setting).clone()));
        settings
    };
    let migrate = settings(&PARTS, &[&read_models]);
    let (code, said) = Process::fail(logins.database(), &["migrate"], &borrowed(&migrate));
    assert!(code == Some(1) && said.contains("read_models_migrator_url names who may"), "{said}");
    let migrate = settings(&PARTS, &[&read_models, &migrator]);
    Process::run(logins.database(), &["migrate"], &borrowed(&migrate));
    let serve = settings(&PARTS[1..], &[&read_models]);
    let server = Process::serve(logins.database(), &[], &borrowed(&serve));
    let http = reqwest::Client::new();
    let request = |method, path: &str| {
        http.request(method, format!("{}{path}", server.url)).bearer_auth("dev-consumer")
    };
    let created = Answer::of(request(Method::POST, "/api/orders").json(&order())).await;
    let token = created.header("consistency-token").expect("a token");
    let read = request(Method::GET, created.header("location").expect("a location"));
    let row = Answer::of(read.header("consistency-token", token).header("prefer", "wait=30")).await;
    assert_eq!((row.status, &row.json()["status"]), (StatusCode::OK, &Value::from("created")), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_program_runs_on_four_logins() {
    let logins = migrated().await;
    let parts = ["writer", "projector", "reader"];
    let key = run(&logins, &["keys", "create", "shop", "--role", "consumer"], &parts);
    let (brokers, prefix) = (kafka_brokers(), topic_prefix());
    let mut settings = logins.settings(&parts);
    settings.extend(
        [
            ("auth", "keys"),
            ("kafka_brokers", &brokers),
            ("topic_prefix", &prefix),
            ("command_topic_principal", "shop"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let mut server = Process::serve(logins.database(), &[], &borrowed(&settings));
    let http = reqwest::Client::new();
    let request =
        |method, path: &str| http.request(method, format!("{}{path}", server.url)).bearer_auth(key.trim());
    let created = Answer::of(request(Method::POST, "/api/orders").json(&order())).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let path = created.header("location").expect("a location").to_owned();
    let token = created.header("consistency-token").expect("a token").to_owned();
    let read = || request(Method::GET, &path).header("consistency-token", &token).header("prefer", "wait=30");
    let row = Answer::of(read()).await;
    assert_eq!((row.status, &row.json()["status"]), (StatusCode::OK, &Value::from("created")), "{row:?}");
    let later = request(Method::POST, &format!("{path}/confirm")).header("prefer", "respond-async");
    let accepted = Answer::of(later).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let command = accepted.header("location").expect("a location").to_owned();
    until("what was accepted is done", || async {
        Answer::of(request(Method::GET, &command)).await.json()["status"] == "done"
    })
    .await;
    until("nothing is degraded", || async {
        Answer::of(request(Method::GET, "/health/ready")).await.json()["status"] == "up"
    })
    .await;
    run(&logins, &["audit", "verify"], &parts);
    run(&logins, &["audit", "export", "--to", "2000-01-01T00:00:00Z"], &parts);
    server.signal("TERM");
    assert_eq!(server.end().await, Some(0));
}
