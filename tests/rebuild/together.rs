//! Every read model rebuilt at once, by one reading of the log.

use std::path::Path;

use annals::{
    rebuild::{self, Options},
    serve,
};
use futures_util::future::join_all;
use reqwest::Client;
use uuid::Uuid;

use crate::support::{self, Database, append, process::Process, until};

const ORDERS: i64 = 400;
const READ: &str = "annals_rebuild_read_events_total ";

/// Whether so many orders are folded by those who read them.
async fn is_folded(database: &Database, orders: i64) -> bool {
    let client = database.client().await;
    client.query_one(include_str!("folded.sql"), &[&orders]).await.expect("a row").get(0)
}

/// How many read models there are.
async fn count(database: &Database) -> usize {
    let all = annals::projector::overview(&database.pool(), None).await.expect("read");
    all.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_read_the_log_once() {
    let database = Database::new().await;
    let (appender, _appended) = database.appender(&[]);
    for _ in 0..ORDERS {
        appender.append(append("order.created", support::ORDER)).await.expect("appended");
    }
    // However long it takes to begin them all, none is read before the last of them has begun.
    let settings = [("projector_batch_events_max", "20"), ("projector_poll_interval_ms", "1500")];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let metrics = || async {
        let metrics = client.get(format!("{}/metrics", annals.url)).send().await.expect("answered");
        metrics.text().await.expect("text")
    };
    let models = serve::folders(Path::new("projections")).expect("the folders load").len();
    let all_folded = async || is_folded(&database, ORDERS).await && count(&database).await == models;
    until("all is folded", all_folded).await;
    let all = Process::run(&database, &["projections", "rebuild", "--all", "--json"], &settings);
    let all: serde_json::Value = all.parse().expect("JSON");
    let all = all.as_array().expect("rebuilds");
    assert!(all.len() == models && all.iter().all(|rebuild| rebuild["state"] == "done"), "{all:?}");
    let metrics = metrics().await;
    let read = metrics.lines().find_map(|line| line.strip_prefix(READ)).expect("it is exported");
    let read: i64 = read.parse().expect("a number");
    // Several of them read every order.
    assert!((ORDERS..2 * ORDERS).contains(&read), "{read} events were read for {ORDERS}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_events_are_folded_while_all_are_rebuilt() {
    let database = Database::new().await;
    let (appender, _appended) = database.appender(&[]);
    let order = async || appender.append(append("order.created", support::ORDER)).await.expect("appended");
    let mut orders = 3_000;
    for _ in 0..10 {
        join_all((0..orders / 10).map(|_| order())).await;
    }
    let settings = [("projector_batch_events_max", "10"), ("projector_poll_interval_ms", "50")];
    let _annals = Process::serve(&database, &[], &settings);
    let pool = database.pool();
    until("all is folded", async || is_folded(&database, orders).await).await;
    for name in ["orders", "customer_summary", "daily_revenue", "order_timeline"] {
        rebuild::start(&pool, Uuid::now_v7(), name, None, Options::default()).await.expect("it begins");
    }
    let is_rebuilding = async || {
        let all = rebuild::list(&pool, None, None, 10).await.expect("listed");
        all.iter().any(|rebuild| !rebuild.state.is_final())
    };
    let mut beside = 0;
    while is_rebuilding().await {
        order().await;
        orders += 1;
        until("a live event is folded", async || is_folded(&database, orders).await).await;
        beside += usize::from(is_rebuilding().await);
    }
    assert!(beside > 2, "only {beside} events were folded beside rebuilds");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_none_are_begun() {
    let database = Database::new().await;
    let annals = Process::serve(&database, &[], &[]);
    let models = serve::folders(Path::new("projections")).expect("the folders load").len();
    until("all are made", async || count(&database).await == models).await;
    // Nobody carries it on.
    drop(annals);
    let pool = database.pool();
    rebuild::start(&pool, Uuid::now_v7(), "orders", None, Options::default()).await.expect("it begins");
    let (code, told) = Process::fail(&database, &["projections", "rebuild", "--all"], &[]);
    assert!(code == Some(1) && told.contains("`orders` is being rebuilt already"), "{code:?} {told}");
    assert_eq!(rebuild::list(&pool, None, None, 10).await.expect("listed").len(), 1);
}
