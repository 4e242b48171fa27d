//! The whole way: HTTP → log → Kafka → read model, and what is left of it when the program is killed.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::{
    Database, kafka_brokers,
    process::Process,
    topic,
    topic::{Seen, assert_in_order},
    topic_prefix, until,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

const KEY: &str = "dev-consumer";

async fn post(client: &Client, url: String, body: Value) -> reqwest::Result<(StatusCode, Value)> {
    let response = client
        .post(url)
        .bearer_auth(KEY)
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send()
        .await?;
    let status = response.status();
    let body = response.text().await?;
    Ok((status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"))))
}

fn order() -> Value {
    serde_json::from_str(support::ORDER).expect("JSON")
}

async fn records(prefix: &str) -> Vec<Seen> {
    let topic = format!("{prefix}.order");
    spawn_blocking(move || topic::read(&kafka_brokers(), &topic)).await.expect("read")
}

/// The rows of the read model, as status and version by id.
async fn rows(database: &Database) -> BTreeMap<Uuid, (String, i64)> {
    let client = database.client().await;
    let rows = client.query("select id, status, version from projection_orders_1.orders", &[]).await;
    rows.expect("the read model is there").iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_all_the_way() {
    let (database, prefix) = (Database::new().await, topic_prefix());
    let settings = [("kafka_brokers", &*kafka_brokers()), ("topic_prefix", &*prefix)];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let (status, created) =
        post(&client, format!("{}/api/orders", annals.url), order()).await.expect("answered");
    assert_eq!((status, &created["status"]), (StatusCode::CREATED, &json!("created")));
    let id = created["id"].as_str().expect("an id").to_owned();
    let confirm = format!("{}/api/orders/{id}/confirm", annals.url);
    let (status, confirmed) = post(&client, confirm, json!({})).await.expect("answered");
    assert_eq!(
        (status, &confirmed["status"], &confirmed["version"]),
        (StatusCode::OK, &json!("confirmed"), &json!(2))
    );

    until("both events are in the topic", || async { records(&prefix).await.len() == 2 }).await;
    let records = records(&prefix).await;
    assert_in_order(&records);
    let events = database.events().await;
    for (record, event) in records.iter().zip(&events) {
        assert_eq!(record.key, id);
        assert_eq!(record.value, event.data.as_str());
        assert_eq!(record.headers["ce_id"], event.event_id.to_string());
        assert_eq!(record.headers["ce_type"], event.event_type);
        assert_eq!(record.headers["ce_subject"], format!("order/{id}"));
        assert_eq!(record.headers["ce_specversion"], "1.0");
        assert_eq!(record.headers["content-type"], "application/json");
        assert_eq!(record.headers["ce_actor"], "dev-consumer");
    }
    let id: Uuid = id.parse().expect("a UUID");
    until("the read model shows it", || async {
        rows(&database).await.get(&id) == Some(&("confirmed".to_owned(), 2))
    })
    .await;
}

/// Creates orders and confirms every second one until the server is gone; returns what was acknowledged.
async fn load(client: Client, url: String, acknowledged: Arc<Mutex<BTreeMap<Uuid, i64>>>) {
    for n in 0.. {
        let Ok((StatusCode::CREATED, created)) = post(&client, format!("{url}/api/orders"), order()).await
        else {
            return;
        };
        let id: Uuid = created["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        acknowledged.lock().expect("no panic").insert(id, 1);
        if n % 2 == 0 {
            let confirm = format!("{url}/api/orders/{id}/confirm");
            let Ok((StatusCode::OK, _)) = post(&client, confirm, json!({})).await else {
                return;
            };
            acknowledged.lock().expect("no panic").insert(id, 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_and_repeats_nothing() {
    let (database, prefix) = (Database::new().await, topic_prefix());
    let settings = [("kafka_brokers", &*kafka_brokers()), ("topic_prefix", &*prefix)];
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    for round in 1..=3 {
        let annals = Process::serve(&database, &[], &settings);
        let client = Client::new();
        let loads =
            (0..8).map(|_| tokio::spawn(load(client.clone(), annals.url.clone(), acknowledged.clone())));
        let loads: Vec<_> = loads.collect();
        until("it is in the middle of its load", || async {
            acknowledged.lock().expect("no panic").len() > round * 100
        })
        .await;
        annals.kill();
        join_all(loads).await;
    }
    let acknowledged = acknowledged.lock().expect("no panic").clone();

    let _annals = Process::serve(&database, &[], &settings);
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=events.len() as i64));
    let mut versions: BTreeMap<Uuid, i64> = BTreeMap::new();
    for event in &events {
        let version = versions.entry(event.stream_id).or_default();
        *version += 1;
        assert_eq!(event.version.0, *version);
    }
    for (id, version) in &acknowledged {
        assert!(versions.get(id) >= Some(version), "acknowledged and lost: {id}");
    }
    until("the topic holds the log", || async { records(&prefix).await.len() >= events.len() }).await;
    let records = records(&prefix).await;
    assert_in_order(&records);
    let sent: BTreeSet<i64> = records.iter().map(|record| record.number("ce_position")).collect();
    assert!(sent.into_iter().eq(1..=events.len() as i64) && records.len() == events.len(), "each once");
    until("the read model is the fold of the log", || async {
        let rows = rows(&database).await;
        rows.len() == versions.len()
            && rows.iter().all(|(id, (status, version))| {
                versions.get(id) == Some(version)
                    && *status == ["created", "confirmed"][*version as usize - 1]
            })
    })
    .await;
}
