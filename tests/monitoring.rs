//! Every metric that the dashboard and the alert rules ask for is one that `/metrics` exports; and what they are to notice is
//! seen there.

mod support;

use std::collections::BTreeSet;

use annals::projector;
use reqwest::Client;
use serde_json::Value;
use support::{
    Database, kafka_brokers,
    logins::{Logins, PARTS},
    process::Process,
    topic_prefix, until,
};

const FILES: [&str; 3] = [
    include_str!("../monitoring/grafana-dashboard.json"),
    include_str!("../monitoring/alerts.yml"),
    include_str!("../monitoring/alerts.test.yml"),
];

/// The names that begin with ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("annals_")
        .map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect())
        .collect()
}

async fn metrics(process: &Process) -> String {
    let metrics = reqwest::get(format!("{}/metrics", process.url)).await.expect("answered");
    metrics.text().await.expect("text")
}

/// Waits until a process exports a line.
async fn exports(process: &Process, line: &str) {
    until(line, async || metrics(process).await.lines().any(|exported| exported == line)).await;
}

async fn health(process: &Process) -> Value {
    let health = reqwest::get(format!("{}/health/ready", process.url)).await.expect("answered");
    health.text().await.expect("text").parse().expect("JSON")
}

async fn place_order(process: &Process) {
    let request = Client::new().post(format!("{}/api/orders", process.url)).bearer_auth("dev-consumer");
    let request = request.header("Content-Type", "application/json").body(support::ORDER);
    assert_eq!(request.send().await.expect("answered").status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_ask_for_what_is_exported() {
    let (database, prefix) = (Database::new().await, topic_prefix());
    let brokers = kafka_brokers();
    let settings =
        [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix), ("command_topic_principal", "shop")];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let post = |path: String, body: &'static str| {
        let request = client.post(format!("{}{path}", annals.url)).bearer_auth("dev-consumer");
        async move {
            let request = request.header("Content-Type", "application/json").body(body);
            request.send().await.expect("answered").text().await.expect("a body")
        }
    };
    let created: serde_json::Value = post("/api/orders".into(), support::ORDER).await.parse().expect("JSON");
    let id = created["id"].as_str().expect("an id").to_owned();
    // Another process changes the order, so that this one meets a conflict.
    let other = Process::serve(&database, &["--role", "api"], &settings);
    let confirm = client.post(format!("{}/api/orders/{id}/confirm", other.url)).bearer_auth("dev-consumer");
    assert_eq!(confirm.send().await.expect("answered").status(), 200);
    post(format!("/api/orders/{id}/cancel"), r#"{"reason":"r"}"#).await;

    let asked: BTreeSet<String> = FILES.iter().flat_map(|file| names(file)).collect();
    assert!(asked.len() > 10);
    until("all are exported", async || asked.is_subset(&names(&metrics(&annals).await))).await;
    let metrics = metrics(&annals).await;
    for pool in ["commands", "reads", "audit", "relay", "projector"] {
        assert!(metrics.contains(&format!("annals_pool_waiting{{pool=\"{pool}\"}} ")), "{pool}: {metrics}");
    }
}

/// What the metrics table of the documentation names is described in the code, and every alert is explained there.
#[test]
fn what_is_documented_exists_and_every_alert_is_documented() {
    let (page, code) = (include_str!("../docs/operations.md"), include_str!("../src/serve/observe.rs"));
    let code = names(&format!("{code}{}", include_str!("../src/relay.rs")));
    let (_, table) = page.split_once("| metric | by | tells |").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let unknown: Vec<_> = names(table).into_iter().filter(|name| !code.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let alerts = FILES[1].lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let (_, explained) = page.split_once("## What to do when").expect("a chapter");
    let headings: Vec<_> = explained.lines().filter(|line| line.starts_with("**")).collect();
    let is_explained = |alert: &&str| headings.iter().any(|heading| heading.contains(*alert));
    let unexplained: Vec<_> = alerts.filter(|alert| !is_explained(alert)).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_gets_no_answer_is_told_by_name() {
    let mut logins = Logins::new().await;
    let mut settings = logins.settings(&PARTS);
    settings.extend(logins.part_read_models().await);
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let annals = Process::serve(logins.database(), &[], &settings);
    until("all is up", async || health(&annals).await["status"] == "up").await;
    let admin = logins.database().client().await;
    let login_of = |name: &str| {
        let (_, url) = settings.iter().find(|(setting, _)| *setting == format!("{name}_url")).expect("a URL");
        url.trim_start_matches("postgres://").split(':').next().expect("a login").to_owned()
    };
    for (database, name, dependency, status) in [
        ("log", "writer", "postgres", "down"),
        ("log", "reader", "postgres:reader", "degraded"),
        ("log", "projector", "postgres:projector", "degraded"),
        ("read_models", "read_models", "postgres:read_models", "degraded"),
    ] {
        let line = |up| format!("annals_postgres_up{{database=\"{database}\",login=\"{name}\"}} {up}");
        exports(&annals, &line(1)).await;
        let login = login_of(name);
        let end = format!(
            "alter role {login} nologin;
             select pg_terminate_backend(pid) from pg_stat_activity where usename = '{login}'"
        );
        admin.batch_execute(&end).await.expect("ended");
        exports(&annals, &line(0)).await;
        until("health tells it", async || {
            health(&annals).await["dependencies"][dependency]["status"] == status
        })
        .await;
        if name == "read_models" {
            place_order(&annals).await;
            let waits =
                async || health(&annals).await["dependencies"]["projection:orders"]["status"] == "degraded";
            until("its projections wait", waits).await;
        }
        let told = health(&annals).await.to_string();
        assert!(!told.contains(&login) && !told.contains("SQLSTATE"), "{told}");
        admin.batch_execute(&format!("alter role {login} login")).await.expect("let in");
        exports(&annals, &line(1)).await;
        until("all is up again", async || health(&annals).await["status"] == "up").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_projections_stand_is_told_and_a_projection_that_is_gone_is_not() {
    let database = Database::new().await;
    let all = Process::serve(&database, &[], &[]);
    exports(&all, "annals_projection_state{projection=\"orders\",state=\"running\"} 1").await;
    place_order(&all).await;
    exports(&all, "annals_projection_applied_total{projection=\"orders\"} 1").await;
    drop(all);
    // Nobody folds from here on.
    let api = Process::serve(&database, &["--role", "api"], &[]);
    place_order(&api).await;
    let client = database.client().await;
    let made = "update projections.generations set created_at = clock_timestamp()";
    client.batch_execute(made).await.expect("made anew");
    exports(&api, "annals_projection_state{projection=\"orders\",state=\"building\"} 1").await;
    projector::set_paused(&database.pool(), "orders", true).await.expect("paused");
    exports(&api, "annals_projection_state{projection=\"orders\",state=\"paused\"} 1").await;
    exports(&api, "annals_projection_state{projection=\"orders\",state=\"building\"} 0").await;

    exports(&api, "annals_projection_parked{projection=\"orders\"} 0").await;
    let park = "insert into projections.parked
        (projection, generation, position, stream_type, stream_id, partition, version, event_id, event_type)
        select 'orders', 1, 1, 'order', gen_random_uuid(), 0, 1, gen_random_uuid(), 'order.created'";
    client.batch_execute(park).await.expect("parked");
    exports(&api, "annals_projection_parked{projection=\"orders\"} 1").await;

    for state in ["waiting", "failed"] {
        let line = |count| format!("annals_rebuilds{{projection=\"orders\",state=\"{state}\"}} {count}");
        exports(&api, &line(0)).await;
        let rebuild = |state| {
            format!(
                "insert into projections.rebuilds (id, projection, workers, swap, state)
                 values (gen_random_uuid(), 'orders', 1, 'manual', '{state}')"
            )
        };
        client.batch_execute(&rebuild(state)).await.expect("a rebuild");
        exports(&api, &line(1)).await;
        // One that waited is cancelled; one that failed is not the newest any more.
        let cancel = "update projections.rebuilds set state = 'cancelled' where state = 'waiting'";
        client.batch_execute(cancel).await.expect("cancelled");
        client.batch_execute(&rebuild("done")).await.expect("another one");
        exports(&api, &line(0)).await;
    }

    client.query("select projections.forget()", &[]).await.expect("forgotten");
    let is_gone = async || !metrics(&api).await.contains("{projection=\"orders\"");
    until("nothing is told of it", is_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_contract_allows_is_told_apart_from_what_fails() {
    let database = Database::new().await;
    let api = Process::serve(&database, &["--role", "api"], &[]);
    let client = Client::new();
    let get = |path: &str| client.get(format!("{}{path}", api.url)).bearer_auth("dev-consumer");
    // Nobody makes the read model.
    assert_eq!(get("/api/orders").send().await.expect("answered").status(), 503);
    assert_eq!(get("/health/live").send().await.expect("answered").status(), 200);
    let counted = |line: &&str| line.starts_with("annals_http_request_seconds_count");
    let metrics = metrics(&api).await;
    let lines: Vec<_> = metrics.lines().filter(counted).collect();
    let is_told =
        |line: &&str| line.contains("status=\"503\"") && line.contains("problem=\"projection-behind\"");
    assert!(lines.iter().any(is_told), "{lines:?}");
    let well = lines.iter().filter(|line| line.contains("status=\"200\""));
    assert!(well.clone().count() > 0 && !well.clone().any(|line| line.contains("problem=")), "{lines:?}");
}
