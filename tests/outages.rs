//! Clients that see unknown outcomes while Kafka is away and Postgres is killed. Afterwards the history is checked from
//! outside: what was acknowledged is there once, what was refused is not, and what was unknown is all or nothing.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::{
    DEADLINE, Database,
    process::Process,
    stack::Stack,
    topic::{self, assert_in_order},
    until,
};
use tokio::task::{block_in_place, spawn_blocking};
use uuid::Uuid;

/// A client that repeats what it did not hear the outcome of, with the same key, until it hears it.
#[derive(Clone)]
struct Persistent {
    client: Client,
    url: String,
    answers: Arc<AtomicUsize>,
}

impl Persistent {
    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let key = Uuid::now_v7().to_string();
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "no answer within {DEADLINE:?}");
            let request = self
                .client
                .post(format!("{}{path}", self.url))
                .bearer_auth("dev-consumer")
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", &key)
                .timeout(Duration::from_secs(5))
                .body(body.to_string());
            if let Ok(response) = request.send().await
                && response.status() != StatusCode::SERVICE_UNAVAILABLE
                && let (status, Ok(body)) = (response.status(), response.text().await)
            {
                self.answers.fetch_add(1, Ordering::Relaxed);
                return (status, serde_json::from_str(&body).expect("JSON"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What one client was told.
#[derive(Default)]
struct Told {
    /// Orders and the version each was acknowledged at.
    orders: BTreeMap<Uuid, i64>,
    /// Answers of the counter that all share.
    counts: Vec<i64>,
}

/// Creates orders, confirms them, asks for what must be refused, and counts, until told to stop.
async fn client(persistent: Persistent, counter: Uuid, stop: Arc<AtomicBool>) -> Told {
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) {
        let order = serde_json::from_str(support::ORDER).expect("JSON");
        let (status, created) = persistent.post("/api/orders", order).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        let id: Uuid = created["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        told.orders.insert(id, 1);

        let (status, refused) = persistent.post(&format!("/api/orders/{id}/deliver"), json!({})).await;
        assert_eq!((status, &refused["state"]), (StatusCode::CONFLICT, &json!("created")), "{refused}");

        let (status, confirmed) = persistent.post(&format!("/api/orders/{id}/confirm"), json!({})).await;
        assert_eq!((status, &confirmed["version"]), (StatusCode::OK, &json!(2)), "{confirmed}");
        told.orders.insert(id, 2);

        let (status, counted) =
            persistent.post(&format!("/api/counters/{counter}/increment"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{counted}");
        told.counts.push(counted["counter"].as_i64().expect("a count"));
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn history_is_true_through_outages_of_kafka_and_postgres() {
    let stack = spawn_blocking(Stack::up).await.expect("the servers are up");
    let database = Database::at(stack.database_url.clone()).await;
    let settings = [("kafka_brokers", &*stack.kafka_brokers)];
    let annals = Process::serve(&database, &[], &settings);
    let answers = Arc::new(AtomicUsize::new(0));
    let persistent = Persistent { client: Client::new(), url: annals.url.clone(), answers: answers.clone() };
    let (_, counter) = persistent.post("/api/counters", json!({"code": "1234"})).await;
    let counter: Uuid = counter["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..8).map(|_| tokio::spawn(client(persistent.clone(), counter, stop.clone()))).collect();
    let more = |what: &'static str| {
        let (answers, now) = (answers.clone(), answers.load(Ordering::Relaxed));
        async move { until(what, || async { answers.load(Ordering::Relaxed) > now + 300 }).await }
    };
    more("a load in peace").await;
    block_in_place(|| stack.kill("kafka"));
    more("commands go on without Kafka").await;
    for _ in 0..2 {
        block_in_place(|| stack.kill("postgres"));
        block_in_place(|| stack.start("postgres"));
        more("commands go on after Postgres").await;
    }
    block_in_place(|| stack.start("kafka"));
    more("a load with all back").await;
    stop.store(true, Ordering::Relaxed);
    let told: Vec<Told> =
        join_all(clients).await.into_iter().map(|told| told.expect("no client failed")).collect();

    check_log(&database, counter, &told).await;
    check_topic(&database, stack.kafka_brokers.clone()).await;
    check_rows(&database).await;
}

/// What a crash took of the read model, whose commits do not wait for the disk, is folded again.
async fn check_rows(database: &Database) {
    let mut orders: BTreeMap<Uuid, i64> = BTreeMap::new();
    for event in database.events().await.iter().filter(|event| event.stream_type == "order") {
        orders.insert(event.stream_id, event.version.0);
    }
    let client = database.client().await;
    until("the read model holds the log", || async {
        let rows = client.query("select id, version from projection_orders_1.orders", &[]).await;
        let rows = rows.expect("readable");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect::<BTreeMap<Uuid, i64>>() == orders
    })
    .await;
}

async fn check_log(database: &Database, counter: Uuid, told: &[Told]) {
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=events.len() as i64), "no gap");
    let mut versions: BTreeMap<Uuid, i64> = BTreeMap::new();
    for event in &events {
        let version = versions.entry(event.stream_id).or_default();
        *version += 1;
        assert_eq!(event.version.0, *version);
    }
    let orders: BTreeMap<Uuid, i64> = told.iter().flat_map(|told| told.orders.clone()).collect();
    let counts: Vec<i64> = told.iter().flat_map(|told| told.counts.clone()).collect();
    // Every client heard every outcome in the end, so the log holds exactly what was acknowledged.
    let counted = versions.remove(&counter).expect("the counter") - 1;
    assert_eq!(versions, orders);
    assert_eq!(counted as usize, counts.len());
    assert!(
        counts.into_iter().collect::<BTreeSet<_>>().into_iter().eq(1..=counted),
        "one answer for each count"
    );
}

async fn check_topic(database: &Database, brokers: String) {
    let events = database.events().await;
    let orders = events.iter().filter(|event| event.stream_type == "order").count();
    let read = || {
        let brokers = brokers.clone();
        async move { spawn_blocking(move || topic::read(&brokers, "annals.order")).await.expect("read") }
    };
    until("the topic holds the log", || async { read().await.len() >= orders }).await;
    let records = read().await;
    assert_in_order(&records);
    let sent: Vec<_> = records.iter().map(|record| record.number("ce_position")).collect();
    let unique: BTreeSet<_> = sent.iter().copied().collect();
    let logged: BTreeSet<_> =
        events.iter().filter(|event| event.stream_type == "order").map(|event| event.position.0).collect();
    assert_eq!((sent.len(), unique), (orders, logged), "each event of the log, each once");
}
