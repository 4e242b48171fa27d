//! The models that ship: their rows are those of a plain fold, however the events were cut and whoever died meanwhile.

use std::{collections::BTreeMap, time::Duration};

use annals::{
    projector::{Folder, Progress},
    read_model::{Freshness, ReadModels},
};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::{
    history::{Naive, Orders, fold},
    stage::{Stage, shipped},
};

const ROWS: &str = include_str!("rows.sql");
const MODELS: [&str; 4] = ["orders", "customer_summary", "daily_revenue", "order_timeline"];
/// How long the histories go on.
const TIME: Duration = Duration::from_secs(10);

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

/// Every row of every table of the models.
async fn dump(client: &Client) -> Vec<String> {
    let mut all = Vec::new();
    for model in MODELS {
        let rows = client.query(ROWS, &[&format!("projection_{model}_1")]).await.expect("readable");
        all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_cuts_and_deaths_come_to_the_rows_of_a_plain_fold() {
    let ends = Instant::now() + TIME;
    let mut seed = uuid::Uuid::now_v7().as_u128() as u64;
    while Instant::now() < ends {
        seed = seed.rotate_left(7) ^ 0x9e37_79b9_7f4a_7c15;
        one_history(seed).await;
    }
}

async fn one_history(seed: u64) {
    let stage = Stage::new().await;
    let mut orders = Orders::new(12, seed);
    let folders = models();
    let folders: Vec<_> = folders.iter().collect();
    for _ in 0..=orders.random(4) {
        let batch = (orders.random(9) + 1).to_string();
        let workers = orders.random(2) + 1;
        let mut processes = Vec::new();
        for _ in 0..workers {
            processes.push(stage.process(&folders, &[("projector_batch_events_max", &batch)]).await);
        }
        for _ in 0..orders.random(30) {
            stage.append(orders.next()).await;
        }
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
    let incremental = dump(&client).await;
    for model in MODELS {
        stage.forget(model).await;
    }
    let process = stage.process(&folders, &[("projector_batch_events_max", "1")]).await;
    for model in MODELS {
        stage.folded(model).await;
    }
    process.stop().await;
    assert_eq!(dump(&client).await, incremental, "seed {seed}");
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
