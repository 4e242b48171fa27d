//! Relays whose database, whose process or whose host freezes: nothing is cut off, and nothing comes any more.

#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

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
    stack::Stack,
    topic_prefix, until,
};
use tokio::{task::spawn_blocking, time::timeout};
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
    until("it takes it again where nobody else does", || async { cut_off.status.borrow().epoch > Some(1) })
        .await;
    let standby = stage.relay().await;
    stage.relayed(10).await;
    assert_eq!((cut_off.role(), standby.role()), (Role::Standby, Role::Leader));
    stage.assert_topic_is_log("order").await;
}

/// A Kafka, and a proxy by which alone some of its clients reach it, as far as they are told.
async fn kafka_and_proxy() -> (Stack, Proxy) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|door| door.local_addr());
    let door = free.expect("a free port");
    let proxy = Proxy::to(door).await;
    let properties = include_str!("relay/two_doors.properties")
        .replace("@DOOR@", &door.port().to_string())
        .replace("@PROXY@", &proxy.address.port().to_string());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, properties).expect("written");
    let settings = [("ANNALS_KAFKA_PROPERTIES", file.path().display().to_string())];
    let stack = spawn_blocking(move || Stack::of(Some("kafka"), &settings)).await.expect("it is up");
    (stack, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_nobody_reaches_is_replaced_and_repeats_nothing_when_it_is_back() {
    let (kafka, to_kafka) = kafka_and_proxy().await;
    let stage = Stage::with(topic_prefix(), kafka.kafka_brokers.clone()).await;
    let to_postgres = Proxy::to(address(&stage.database.url)).await;
    let (url, brokers) = (through(&stage.database.url, &to_postgres), to_kafka.address.to_string());
    let common = [
        ("kafka_brokers", &*kafka.kafka_brokers),
        ("topic_prefix", &*stage.prefix),
        ("relay_batch_events_max", BATCH),
        ("relay_lease_ttl_ms", "1500"),
    ];
    let apart = [&common[..], &[("database_url", &url), ("kafka_brokers", &brokers)]].concat();
    let leader = Process::relay(&stage.database, &apart);
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let other = Process::relay(&stage.database, &common);
    let client = stage.database.client().await;
    until("another one stands by", || stands_by(&client)).await;
    let leads = async || {
        let outbox = Outbox::read(&stage.database.pool()).await.expect("readable");
        outbox.lease.map(|lease| lease.epoch)
    };
    let epoch = leads().await;

    // In the middle of its work, with a transaction that is open.
    let vanishing = async {
        stage.relayed(50).await;
        to_kafka.hold();
        to_postgres.hold();
        let outbox = Outbox::read(&stage.database.pool()).await.expect("readable");
        assert!(outbox.lag() > 0, "there was nothing left to relay: {outbox:?}");
    };
    tokio::join!(stage.append_orders(600), vanishing);
    stage.append_orders(10).await;
    stage.relayed(620).await;
    assert!(leads().await > epoch, "the other one relays");

    // What was on its way arrives now.
    to_kafka.let_go();
    to_postgres.let_go();
    until("the first one stands by", || stands_by(&client)).await;
    stage.append_orders(10).await;
    stage.relayed(630).await;
    // It is as good as new.
    other.kill();
    stage.append_orders(10).await;
    stage.relayed(640).await;
    stage.assert_topic_is_log("order").await;
    drop(leader);
}
