//! Every metric that the dashboard and the alert rules ask for is one that `/metrics` exports.

mod support;

use std::collections::BTreeSet;

use reqwest::Client;
use support::{Database, kafka_brokers, process::Process, topic_prefix, until};

const FILES: [&str; 2] =
    [include_str!("../monitoring/grafana-dashboard.json"), include_str!("../monitoring/alerts.yml")];

/// The names that begin with ours in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("annals_")
        .map(|(at, _)| text[at..].chars().take_while(|c| is_part(*c)).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_ask_for_what_is_exported() {
    let (database, prefix) = (Database::new().await, topic_prefix());
    let settings = [("kafka_brokers", &*kafka_brokers()), ("topic_prefix", &*prefix)];
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
    let metrics = || async {
        let metrics = client.get(format!("{}/metrics", annals.url)).send().await.expect("answered");
        metrics.text().await.expect("text")
    };
    until("all are exported", || async { asked.is_subset(&names(&metrics().await)) }).await;
    let metrics = metrics().await;
    for pool in ["commands", "reads", "audit", "relay", "projector"] {
        assert!(metrics.contains(&format!("annals_pool_waiting{{pool=\"{pool}\"}} ")), "{pool}: {metrics}");
    }
}
