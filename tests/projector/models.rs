//! The models that ship: their rows are those of a plain fold, however the events were cut and whoever died meanwhile.

use std::{collections::BTreeMap, time::Duration};

use annals::{
    projector::{Folder, Progress},
    read_model::{Freshness, ReadModels},
    rebuild::{self, Options, State, Swap},
};
use tokio::time::Instant;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    history::{Naive, Orders, fold},
    stage::{Stage, shipped},
    support::until,
};

const ROWS: &str = include_str!("rows.sql");
const MODELS: [&str; 4] = ["orders", "customer_summary", "daily_revenue", "order_timeline"];
/// How long the histories go on, and how many they are at least.
const TIME: Duration = Duration::from_secs(10);
const HISTORIES_MIN: usize = 3;
/// Events per second of a rebuild.
const RATE: u32 = 400;
const END_LEASES: &str = "update projections.rebuilds set leased_until = clock_timestamp()";

fn models() -> Vec<Folder> {
    MODELS.map(shipped).into()
}

/// The models' rows in the words of the plain fold.
async fn rows(client: &Client) -> Naive {
    let rows = async |sql: &str| -> BTreeMap<String, String> {
        let rows = client.query(sql, &[]).await.expect("readable");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    Naive {
        orders: rows(
            "select id::text, concat_ws(' ', status, total, paid, refunded, version) from projection_orders_1.orders",
        )
        .await,
        customers: rows(
            "select customer_id, concat_ws(' ', orders, total, cancelled, refunded) \
             from projection_customer_summary_1.customer_summary",
        )
        .await,
        days: rows(
            "select day::text, concat_ws(' ', payments, paid, refunds, refunded, revenue) \
             from projection_daily_revenue_1.daily_revenue",
        )
        .await,
        timeline: rows(
            "select position::text, concat_ws(' ', order_id, version, actor) \
             from projection_order_timeline_1.order_timeline",
        )
        .await,
    }
}

/// Every row of every table of a generation of the models.
async fn dump(client: &Client, generation: i32) -> Vec<String> {
    let mut all = Vec::new();
    for model in MODELS {
        let schema = format!("projection_{model}_{generation}");
        let rows = client.query(ROWS, &[&schema]).await.expect("readable");
        all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_cuts_and_deaths_come_to_the_rows_of_a_plain_fold() {
    let ends = Instant::now() + TIME;
    let mut seed = uuid::Uuid::now_v7().as_u128() as u64;
    let mut histories = 0;
    while Instant::now() < ends || histories < HISTORIES_MIN {
        seed = seed.rotate_left(7) ^ 0x9e37_79b9_7f4a_7c15;
        one_history(seed).await;
        histories += 1;
    }
}

async fn one_history(seed: u64) {
    let stage = Stage::new().await;
    let mut orders = Orders::new(12, seed);
    let folders = models();
    let folders: Vec<_> = folders.iter().collect();
    let mut events = 0;
    for _ in 0..=orders.random(4) {
        let batch = (orders.random(9) + 1).to_string();
        let workers = orders.random(2) + 1;
        let mut processes = Vec::new();
        for _ in 0..workers {
            processes.push(stage.process(&folders, &[("projector_batch_events_max", &batch)]).await);
        }
        for _ in 0..orders.random(30) {
            let append = orders.next();
            events += append.events.len() as u64;
            stage.append(append).await;
        }
        let (model, least) = (orders.random(MODELS.len() as u64), orders.random(events + 1));
        until("they get on", async || passed(&stage, MODELS[model as usize]).await >= least as i64).await;
        // Dropped, wherever they are.
    }
    stage.append(orders.next()).await;
    let process = stage.process(&folders, &[]).await;
    for model in MODELS {
        stage.folded(model).await;
    }
    process.stop().await;
    let client = stage.database.client().await;
    let events = stage.database.events().await;
    assert_eq!(rows(&client).await, fold(&events), "seed {seed}");
    let incremental = dump(&client, 1).await;
    for model in MODELS {
        stage.forget(model).await;
    }
    let process = stage.process(&folders, &[("projector_batch_events_max", "1")]).await;
    for model in MODELS {
        stage.folded(model).await;
    }
    process.stop().await;
    assert_eq!(dump(&client, 1).await, incremental, "seed {seed}");
    rebuild_through_deaths(&stage, &mut orders, seed).await;
    assert_eq!(rows(&client).await, fold(&stage.database.events().await), "seed {seed}");
    assert_eq!(dump(&client, 1).await, dump(&client, 2).await, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kafka_too_a_death_comes_to_the_rows_of_a_plain_fold() {
    let stage = Stage::new().await;
    let seed = Uuid::now_v7().as_u128() as u64;
    let mut orders = Orders::new(12, seed);
    let folders = models();
    let folders: Vec<_> = folders.iter().collect();
    let small = [("projector_batch_events_max", "3")];
    let _relay = stage.relay().await;
    let lasting = stage.kafka_process(&folders, &small).await;
    // The topic comes with its first event.
    stage.append(orders.next()).await;
    stage.is_shared_by("customer_summary", 1).await;
    let killed = stage.kafka_process(&folders, &small).await;
    stage.is_shared_by("customer_summary", 2).await;
    let before = passed(&stage, "customer_summary").await;
    let appending = async {
        for _ in 0..200 {
            stage.append(orders.next()).await;
        }
    };
    let dying = async {
        until("they get on", async || passed(&stage, "customer_summary").await > before + 20).await;
        drop(killed);
    };
    tokio::join!(appending, dying);
    for model in MODELS {
        stage.folded(model).await;
    }
    lasting.stop().await;
    let client = stage.database.client().await;
    let from_kafka = client.query_one(include_str!("offsets.sql"), &[]).await.expect("a row");
    assert!(from_kafka.get::<_, i64>(0) > 0, "all was read from the log");
    assert_eq!(rows(&client).await, fold(&stage.database.events().await), "seed {seed}");
}

/// How many events a model has passed.
async fn passed(stage: &Stage, model: &str) -> i64 {
    let sql = "select coalesce(sum(applied + ignored + parked), 0)::bigint from projections.checkpoints where projection = $1";
    stage.database.client().await.query_one(sql, &[&model]).await.expect("a row").get(0)
}

/// Rebuilds each model beside the others, with events that come and processes that die meanwhile, to where a person may let
/// the new generation serve.
async fn rebuild_through_deaths(stage: &Stage, orders: &mut Orders, seed: u64) {
    let pool = stage.database.pool();
    let folders = models();
    let folders: Vec<_> = folders.iter().collect();
    // Slow enough to die on the way.
    let options = Options { workers: 2, max_events_per_second: Some(RATE), swap: Swap::Manual };
    let ids = MODELS.map(|model| (model, Uuid::now_v7()));
    for (model, id) in ids {
        rebuild::start(&pool, id, model, None, options).await.expect("it begins");
    }
    let now = async |id| rebuild::get(&pool, id).await.expect("known");
    for _ in 0..orders.random(4) {
        let batch = (orders.random(9) + 1).to_string();
        let process = stage.process(&folders, &[("projector_batch_events_max", &batch)]).await;
        let (_, id) = ids[orders.random(MODELS.len() as u64) as usize];
        let least = orders.random(stage.database.events().await.len() as u64) as i64;
        stage.append(orders.next()).await;
        until("it gets on", async || {
            let now = now(id).await;
            now.events_done >= least || now.state == State::Waiting
        })
        .await;
        drop(process);
        // As when its lease ends.
        stage.database.client().await.batch_execute(END_LEASES).await.expect("ended");
    }
    let process = stage.process(&folders, &[]).await;
    stage.append(orders.next()).await;
    for (model, id) in ids {
        until("it is done", async || {
            let now = now(id).await;
            assert!(!now.state.is_final(), "seed {seed}, {model}: {now:?}");
            now.state == State::Waiting
        })
        .await;
        let done = now(id).await;
        assert!(done.difference().is_none(), "seed {seed}, {model}: {done:?}");
        assert!(done.comparison.is_some_and(|found| found.must_be_equal), "{model}");
        stage.folded(model).await;
    }
    process.stop().await;
}

#[tokio::test]
async fn revenue_rolls_over_the_days_asked_for() {
    let stage = Stage::new().await;
    let process = stage.process(&[&shipped("daily_revenue")], &[]).await;
    let mut orders = Orders::new(1, 1);
    stage.append(orders.next()).await;
    stage.folded("daily_revenue").await;
    process.stop().await;
    let client = stage.database.client().await;
    client.batch_execute(include_str!("days.sql")).await.expect("days");
    let config = stage.database.config(&[]);
    let (log, progress) = (stage.database.reader(), Progress::new([]));
    let models = ReadModels::new(&config.databases, log, None, progress, config.reads).expect("a pool");
    let rolling = async |parameters: &[(&str, &str)]| -> Vec<String> {
        let answer = models.query("daily_revenue", "rolling", parameters, Freshness::default()).await;
        let rows = answer.expect("rows").value;
        rows.iter()
            .map(|row| row.parse::<serde_json::Value>().expect("JSON")["rolling_revenue"].to_string())
            .collect()
    };
    assert_eq!(rolling(&[("days", "1")]).await, ["10.00", "19.50", "30.00", "40.00"]);
    assert_eq!(rolling(&[("days", "3")]).await, ["10.00", "29.50", "59.50", "40.00"]);
    let some = [("days", "3"), ("from", "2026-03-02"), ("until", "2026-03-03")];
    assert_eq!(rolling(&some).await, ["29.50", "59.50"]);
    assert_eq!(rolling(&[("days", "0")]).await.len(), 4, "a window holds the day itself at least");
}
