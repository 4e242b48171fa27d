//! A log restored from an older backup under a running Kafka and read models: refused by name, and the way out.

mod support;

use std::collections::BTreeMap;

use reqwest::Client;
use serde_json::{Value, json};
use support::{
    Database, kafka_brokers,
    process::Process,
    topic::{self, assert_in_order},
    topic_prefix, until,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

async fn create(client: &Client, annals: &Process, orders: usize) {
    for _ in 0..orders {
        let request = client.post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
        let request = request.header("Content-Type", "application/json").body(support::ORDER);
        assert_eq!(request.send().await.expect("answered").status(), 201);
    }
}

async fn name_a_project(client: &Client, annals: &Process) {
    let request = client.post(format!("{}/api/projects", annals.url)).bearer_auth("dev-consumer");
    let request = request.header("Content-Type", "application/json").body(r#"{"name":"apollo"}"#);
    assert_eq!(request.send().await.expect("answered").status(), 201);
}

async fn rows(read: &Database) -> Option<BTreeMap<Uuid, i64>> {
    let rows =
        read.client().await.query("select id, version from projection_orders_1.orders", &[]).await.ok()?;
    Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn ready(client: &Client, annals: &Process) -> Value {
    let response = client.get(format!("{}/health/ready", annals.url)).send().await.expect("answered");
    response.text().await.expect("a body").parse().expect("JSON")
}

async fn sent(topic: String) -> Vec<topic::Seen> {
    spawn_blocking(move || topic::read(&kafka_brokers(), &topic)).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_is_refused_until_it_begins_anew() {
    let (log, read, prefix) = (Database::new().await, Database::new().await, topic_prefix());
    let (brokers, topic) = (kafka_brokers(), format!("{prefix}.order"));
    let settings =
        [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix), ("read_models_url", &*read.url)];
    let client = Client::new();

    let annals = Process::serve(&log, &[], &settings);
    create(&client, &annals, 5).await;
    drop(annals);
    let backup = log.copy().await;
    let annals = Process::serve(&log, &[], &settings);
    create(&client, &annals, 5).await;
    // The backup knows of no project.
    name_a_project(&client, &annals).await;
    until("Kafka and the read model have seen ten orders and a project", || async {
        sent(topic.clone()).await.len() == 10
            && sent(format!("{prefix}.project")).await.len() == 1
            && rows(&read).await.is_some_and(|rows| rows.len() == 10)
    })
    .await;
    drop(annals);

    // The backup is put in the log's place: it is behind, and says so by name; new events go nowhere wrong.
    let annals = Process::serve(&backup, &[], &settings);
    let refuses = |ready: &Value, name: &str| {
        let dependency = &ready["dependencies"][name];
        dependency["status"] == json!("degraded")
            && dependency["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("annals migrate --new-incarnation"))
    };
    until("relay and projection refuse", || async {
        let ready = ready(&client, &annals).await;
        refuses(&ready, "kafka") && refuses(&ready, "projection:orders")
    })
    .await;
    create(&client, &annals, 2).await;
    drop(annals);
    assert_eq!(sent(topic.clone()).await.len(), 10, "nothing was sent over another history");
    assert_eq!(rows(&read).await.map(|rows| rows.len()), Some(10));

    let before = backup.identity().await.log_id;
    Process::run(&backup, &["migrate", "--new-incarnation"], &settings);
    assert_ne!(backup.identity().await.log_id, before);
    assert!(is_asked_of(&backup, before).await, "auditors see it");

    let annals = Process::serve(&backup, &[], &settings);
    create(&client, &annals, 3).await;
    let orders = backup.events().await.into_iter().filter(|event| event.stream_type == "order");
    let logged: BTreeMap<Uuid, i64> = orders.map(|event| (event.stream_id, event.version.0)).collect();
    assert_eq!(logged.len(), 5 + 2 + 3);
    until("topic and read model are the log again", || async {
        sent(topic.clone()).await.len() == 10 && rows(&read).await.as_ref() == Some(&logged)
    })
    .await;
    let records = sent(topic).await;
    assert_in_order(&records);
    let keys: BTreeMap<Uuid, i64> = records
        .iter()
        .map(|record| (record.key.parse().expect("a UUID"), record.number("ce_streamversion")))
        .collect();
    assert_eq!(keys, logged);
    name_a_project(&client, &annals).await;
    let project = backup.events().await.last().map(|event| event.stream_id.to_string());
    let projects = async || sent(format!("{prefix}.project")).await.into_iter().map(|record| record.key);
    until("so is a topic that the backup knew nothing of", || async { projects().await.eq(project.clone()) })
        .await;
    until("all is well", || async { ready(&client, &annals).await["status"] == json!("up") }).await;
}

/// Whether the last event says that the log of this identity is to get a new one.
async fn is_asked_of(log: &Database, former: Uuid) -> bool {
    let last = log.events().await.pop().expect("an event");
    last.event_type == "admin.incarnation_requested" && last.stream_id == former
}
