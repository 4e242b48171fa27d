//! Relays whose database, or whose process, freezes: nothing is cut off, and nothing comes any more.

#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::time::Duration;

use annals::{
    postgres,
    relay::{Outbox, Role},
};
use deadpool_postgres::Pool;
use stage::Stage;
use support::{
    Database,
    process::Process,
    proxy::{Proxy, address, through},
    until,
};
use tokio::time::timeout;
use tokio_postgres::Client;

/// A pool whose connections a test can freeze.
async fn freezing_pool(database: &Database) -> (Proxy, Pool) {
    let proxy = Proxy::to(address(&database.url)).await;
    let config = database.config(&[("database_url", &through(&database.url, &proxy))]);
    let pool = postgres::pool(&config.databases.writer, &config.databases).expect("a pool");
    (proxy, pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_leaves_connections_on_which_it_reads_nothing_any_more() {
    let stage = Stage::new().await;
    let (proxy, reader) = freezing_pool(&stage.database).await;
    let relay = stage.relay_over(reader, stage.database.pool(), &[]).await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    proxy.freeze();
    stage.append_orders(10).await;
    stage.relayed(20).await;
    until("it says nothing more", || async { relay.status.borrow().stopped.is_none() }).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_renewed_is_taken_anew_on_other_connections() {
    let stage = Stage::new().await;
    let (proxy, writer) = freezing_pool(&stage.database).await;
    let relay = stage.relay_over(stage.database.pool(), writer, &[]).await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    proxy.freeze();
    until("it leads again", || async { relay.status.borrow().epoch > Some(1) }).await;
    stage.append_orders(10).await;
    stage.relayed(20).await;
    stage.assert_topic_is_log("order").await;
}

/// Events of a transaction at most, so small that a leader is stopped in the middle of its work.
const BATCH: &str = "10";

/// Whether a relay of the database stands by.
async fn stands_by(client: &Client) -> bool {
    client.query_one(include_str!("relay/stands_by.sql"), &[]).await.expect("the activity").get(0)
}

/// A leader that is stopped in the middle of its work, and goes on when another one has taken over.
async fn stop_the_leader(mode: &str) -> Stage {
    let stage = Stage::new().await;
    let brokers = support::kafka_brokers();
    let settings = [
        ("kafka_brokers", &*brokers),
        ("topic_prefix", &*stage.prefix),
        ("relay_mode", mode),
        ("relay_batch_events_max", BATCH),
    ];
    let leader = Process::relay(&stage.database, &settings);
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let standby = Process::relay(&stage.database, &settings);
    let client = stage.database.client().await;
    until("another one stands by", || stands_by(&client)).await;

    let appending = stage.append_orders(600);
    let stopping = async {
        stage.relayed(50).await;
        leader.signal("STOP");
        let outbox = Outbox::read(&stage.database.pool()).await.expect("readable");
        assert!(outbox.lag() > 0, "there was nothing left to relay: {outbox:?}");
    };
    tokio::join!(appending, stopping);
    stage.append_orders(10).await;
    timeout(Duration::from_secs(5), stage.relayed(620)).await.expect("another one takes over within 5 s");
    assert_eq!(Outbox::read(&stage.database.pool()).await.expect("readable").lag(), 0);

    leader.signal("CONT");
    until("the first one stands by", || stands_by(&client)).await;
    stage.append_orders(10).await;
    stage.relayed(630).await;
    drop((leader, standby));
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_replaced_and_repeats_nothing() {
    let stage = stop_the_leader("exactly-once").await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_without_transactions_is_replaced_and_loses_nothing() {
    let stage = stop_the_leader("low-latency").await;
    stage.assert_topic_has_log("order", 1, BATCH.parse().expect("a number")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_reach_kafka_leaves_the_lease_to_one_that_does() {
    let stage = Stage::new().await;
    stage.append_orders(10).await;
    let nowhere = [
        ("kafka_brokers", "127.0.0.1:1"),
        ("kafka_request_timeout_ms", "100"),
        ("relay_backoff_max_ms", "100"),
        ("relay_transaction_timeout_seconds", "5"),
        ("relay_lease_ttl_ms", "500"),
    ];
    let cut_off = stage.relay_with(&nowhere).await;
    until("it leads", || async { cut_off.role() == Role::Leader }).await;
    let standby = stage.relay().await;
    stage.relayed(10).await;
    assert_eq!((cut_off.role(), standby.role()), (Role::Standby, Role::Leader));
    stage.assert_topic_is_log("order").await;
}
