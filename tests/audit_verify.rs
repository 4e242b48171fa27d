//! Whether the log holds: over the API and from the command line.

mod support;

use std::{collections::BTreeSet, process::Command};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Database, done, request,
    server::{Answer, Server, order},
    until,
};

/// Does something of everything, with claims taken, changed and given back.
async fn live(database: &Database) {
    let commands = database.commands(&[]).await;
    let run = async |command: &str, id, body| {
        let answer = commands.execute(request(command, id, body)).await.expect("decided");
        answer.stream.id
    };
    let kept = run("project.create", None, json!({"name": "kept"})).await;
    let gone = run("project.create", None, json!({"name": "gone"})).await;
    run("project.update", Some(kept), json!({"name": "renamed"})).await;
    run("project.delete", Some(gone), json!({})).await;
    run("project.create", None, json!({"name": "gone"})).await;
    run("project.delete", Some(gone), json!({})).await;
    let order_id = run("order.create", None, order()).await;
    run("order.confirm", Some(order_id), json!({})).await;
    let answer = commands.execute(request("order.confirm", Some(order_id), json!({}))).await;
    assert!(support::Told::result(&answer.expect("decided")).is_err());
    done(&commands.execute(request("counter.create", None, json!({"code": "c"}))).await.expect("done"));
}

fn command_line(database: &Database, arguments: &[&str]) -> (bool, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_annals"))
        .args(arguments)
        .env("ANNALS_DATABASE_URL", &database.url)
        .env("ANNALS_LOG", "error")
        .output()
        .expect("it runs");
    (run.status.success(), String::from_utf8(run.stdout).expect("text"))
}

fn report(database: &Database) -> (bool, Value) {
    let (good, text) = command_line(database, &["audit", "verify", "--json"]);
    (good, serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_holds_is_found_good() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("audit_batch_events_max", "2")]).await;
    live(&database).await;
    let begin = server.anonymous(Method::POST, "/api/audit/verifications").bearer_auth("dev-auditor");
    let begun = Answer::of(begin).await;
    assert_eq!((begun.status, &begun.json()["state"]), (StatusCode::ACCEPTED, &json!("running")));
    let path = begun.header("location").expect("a location").to_owned();
    let get =
        async || Answer::of(server.anonymous(Method::GET, &path).bearer_auth("dev-auditor")).await.json();
    until("it is done", || async { get().await["state"] == "done" }).await;
    let told = get().await;
    assert_eq!(told["actor"], "dev-auditor");
    let expected = json!({
        "head": 8, "events": 8, "streams": 5, "claims": 2, "commands": 10, "faults_total": 0, "faults": [],
    });
    assert_eq!(told["report"], expected);
    assert_eq!(report(&database), (true, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_changed_is_found() {
    let database = Database::new().await;
    live(&database).await;
    let client = database.client().await;
    client.batch_execute(include_str!("support/tamper.sql")).await.expect("a superuser who means it");
    let (good, report) = report(&database);
    assert!(!good);
    let faults = report["faults"].as_array().expect("faults");
    let rules: BTreeSet<_> = faults.iter().map(|fault| fault["rule"].as_str().expect("a rule")).collect();
    let all = ["guards", "positions", "recorded_at", "versions", "events", "claims", "commands"];
    assert_eq!(rules, BTreeSet::from(all), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_the_log_as_it_is_has_to_be_in_force() {
    let database = Database::new().await;
    for (change, expected) in [
        ("grant insert on log.events to annals_writer", vec!["annals_writer may insert log.events"]),
        ("revoke insert on log.events from annals_writer", vec![]),
        ("grant update (data) on log.events to public", vec!["everybody may update log.events"]),
        ("revoke update (data) on log.events from public", vec![]),
        (
            "alter table log.events enable trigger refuse_change; drop trigger refuse_change on log.access",
            vec![
                "the trigger that refuses changes of log.access is gone or switched off",
                "the trigger that refuses changes of log.events is gone or switched off",
            ],
        ),
    ] {
        let faults = faults_after(&database, change).await;
        let expected: Vec<_> =
            expected.into_iter().map(|detail| ("guards".to_owned(), detail.to_owned())).collect();
        assert_eq!(faults, expected, "{change}");
    }
}

/// Fills the auditors' index anew.
const INDEXED: &str = "truncate log.event_index; select log.index_events(1000);";

/// The faults there are after a change that only the owner or a superuser can make: rule and detail.
async fn faults_after(database: &Database, change: &str) -> Vec<(String, String)> {
    database.client().await.batch_execute(change).await.expect("a superuser who means it");
    let (good, report) = report(database);
    let faults = report["faults"].as_array().expect("faults");
    assert_eq!(good, faults.is_empty(), "{report}");
    let text = |fault: &Value, member: &str| fault[member].as_str().expect("a text").to_owned();
    faults.iter().map(|fault| (text(fault, "rule"), text(fault, "detail"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_says_something_else_is_found() {
    let database = Database::new().await;
    live(&database).await;
    for (change, expected) in [
        ("select", vec![]),
        ("delete from log.event_index where position = 3", vec!["index"]),
        ("update log.event_index set actor = 'nobody' where position = 4", vec!["index"]),
        ("update log.event_index set causation_id = event_id where position = 4", vec!["index"]),
        ("update log.event_index set position = 9 where position = 4", vec!["index", "end"]),
        // It has not come that far, or was emptied to be filled again.
        ("delete from log.event_index where position > 6", vec![]),
        ("truncate log.event_index", vec![]),
    ] {
        let faults = faults_after(&database, &format!("{INDEXED} {change}")).await;
        let rules: Vec<_> = faults.iter().map(|(rule, _)| rule.as_str()).collect();
        assert_eq!(rules, expected, "{change}: {faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_type_that_nobody_knows_is_told() {
    let database = Database::new().await;
    live(&database).await;
    let change = "alter table log.events disable trigger refuse_change;
        update log.events set stream_type = 'odd' where stream_type = 'order';
        update log.commands set stream_type = 'odd' where stream_type = 'order';
        alter table log.events enable always trigger refuse_change;";
    let faults = faults_after(&database, &format!("{change} {INDEXED}")).await;
    let [(rule, detail)] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(rule, "events");
    assert!(detail.ends_with("`odd`, which this program does not know; a newer one may"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_cut_off_is_told_by_what_had_come_further() {
    let database = Database::new().await;
    live(&database).await;
    let cut = "alter table log.events disable trigger refuse_change;
        delete from log.events where position = 8;
        delete from log.commands where last_position = 8;
        alter table log.events enable always trigger refuse_change;";
    for (change, table) in [
        (format!("{INDEXED} {cut}"), "log.event_index"),
        (format!("{INDEXED} update log.outbox set cursor = 8"), "log.outbox"),
        (
            "update log.outbox set cursor = 7;
            insert into log.outbox_partitions values ('order', 0, 7), ('counter', 0, 8)"
                .to_owned(),
            "log.outbox_partitions",
        ),
        (
            "update log.outbox_partitions set last_sent = 7; update log.admin_effects set position = 8"
                .to_owned(),
            "log.admin_effects",
        ),
    ] {
        let faults = faults_after(&database, &change).await;
        let expected = format!("{table} has come to 8, the log ends at 7");
        assert_eq!(faults, [("end".to_owned(), expected)]);
    }
    assert!(faults_after(&database, "update log.admin_effects set position = 7").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_needs_no_server() {
    let database = Database::new().await;
    live(&database).await;
    let (good, text) = command_line(&database, &["audit", "export", "--stream-type", "project"]);
    assert!(good);
    let last: Value = serde_json::from_str(text.lines().last().expect("lines")).expect("JSON");
    assert_eq!((last["events"].as_i64(), text.lines().count()), (Some(5), 6));
    let kept = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(kept.path(), "kept").expect("written");
    let path = kept.path().to_str().expect("UTF-8");
    let ahead = ["audit", "export", "--to", "2999-01-01T00:00:00Z", "--output", path];
    assert!(!command_line(&database, &ahead).0, "its range may still get more");
    assert_eq!(std::fs::read_to_string(path).expect("a file"), "kept");
}
