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
    let all = ["positions", "recorded_at", "versions", "events", "claims", "commands"];
    assert_eq!(rules, BTreeSet::from(all), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_needs_no_server() {
    let database = Database::new().await;
    live(&database).await;
    let (good, text) = command_line(&database, &["audit", "export", "--stream-type", "project"]);
    assert!(good);
    let last: Value = serde_json::from_str(text.lines().last().expect("lines")).expect("JSON");
    assert_eq!((last["events"].as_i64(), text.lines().count()), (Some(5), 6));
}
