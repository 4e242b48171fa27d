//! Relays whose connections to the log's database break again and again.

#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::{ops::Range, sync::Arc};

use annals::{log::Position, postgres};
use stage::Stage;
use support::proxy::{Cutting, Proxy, address, through};

/// Milliseconds between two cuts: some are long enough to begin anew and send.
const PAUSES: Range<u64> = 50..700;
const CUTS: usize = 12;
const ORDERS: i64 = 1_000;

/// Events of a transaction at most.
const BATCH: &str = "10";

/// Relays while connections are cut and orders come, until a cut has hit it; returns how many cuts there were.
async fn relay_over_cuts(stage: &Stage, mode: &str) -> usize {
    let proxy = Arc::new(Proxy::to(address(&stage.database.url)).await);
    let url = through(&stage.database.url, &proxy);
    let config = stage.database.config(&[("database_url", &url)]);
    let pool = || postgres::pool(&config.databases.writer, &config.databases).expect("a pool");
    let settings = [("relay_mode", mode), ("relay_batch_events_max", BATCH), ("relay_backoff_max_ms", "100")];
    let relay = stage.relay_over(pool(), pool(), &settings).await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let mut status = relay.status.clone();
    let struck =
        tokio::spawn(async move { status.wait_for(|status| status.stopped.is_some()).await.is_ok() });
    let cutting = Cutting::start(proxy.clone(), PAUSES);
    let mut orders = 10;
    while cutting.done() < CUTS || orders < ORDERS || !struck.is_finished() {
        assert!(orders < 100 * ORDERS, "no cut hits it");
        stage.append_orders(50).await;
        orders += 50;
        // Some of it gets through between two cuts.
        stage.relayed(orders - 200).await;
    }
    let cuts = cutting.done();
    drop(cutting);
    stage.relayed(orders).await;
    support::until("it says nothing more", || async { relay.status.borrow().stopped.is_none() }).await;
    assert_eq!(relay.status.borrow().cursor, Position(orders));
    cuts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_over_broken_connections_sends_each_event_once() {
    let stage = Stage::new().await;
    relay_over_cuts(&stage, "exactly-once").await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_transactions_loses_nothing_over_broken_connections() {
    let stage = Stage::new().await;
    let cuts = relay_over_cuts(&stage, "low-latency").await;
    // What was on its way when a session ended may come behind what the next one found.
    stage.assert_topic_has_log("order", 2 * cuts, BATCH.parse().expect("a number")).await;
}
