//! The relay between a real Postgres and a real Kafka: every event arrives, once and in order, whatever is cut off.

#[path = "relay/broker.rs"]
mod broker;
#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::time::Duration;

use annals::{
    json::RawJson,
    log::{Expected, Position},
    relay::Outbox,
};
use broker::Broker;
use stage::Stage;
use support::{ORDER, append, append_to, process::Process, until};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_in_order_in_its_partition() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    let streams: Vec<Uuid> = (0..20).map(|_| Uuid::now_v7()).collect();
    for stream in &streams {
        stage
            .append(append_to(
                *stream,
                Expected::NoStream,
                &[("order.created", ORDER), ("order.confirmed", "{}")],
            ))
            .await;
        stage.append(append("project.created", r#"{"name":"tea","amount":90071992547409.93}"#)).await;
        stage.append(append_to(*stream, Expected::Any, &[("order.cancelled", r#"{"reason":"rain"}"#)])).await;
    }
    stage.relayed(80).await;
    stage.assert_topic_is_log("order").await;
    stage.assert_topic_is_log("project").await;
    assert_eq!(relay.status.borrow().cursor, Position(80));
    relay.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_a_cloud_event() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    let stream = Uuid::now_v7();
    let mut created = append_to(stream, Expected::NoStream, &[("order.created", ORDER)]);
    let cause = Uuid::now_v7();
    created.events[0].metadata = RawJson::trusted(format!(
        r#"{{"actor":"a","command_id":"{}","correlation_id":"c","causation_id":"{cause}","traceparent":"00-1-2-3"}}"#,
        created.command_id
    ));
    let (event_id, command_id) = (created.events[0].event_id, created.command_id);
    stage.append(created).await;
    stage.relayed(1).await;
    let (key, value, mut headers) = stage.topic("order").raw().await.remove(0);
    assert_eq!(key, stream.to_string());
    let recorded_at = headers.remove("ce_time").expect("a time");
    let event = stage.database.events().await.remove(0);
    assert_eq!(recorded_at.parse::<chrono::DateTime<chrono::Utc>>().expect("RFC 3339"), event.recorded_at);
    assert_eq!(value, event.data.as_str());
    let log_id = stage.database.identity().await.log_id;
    let expected = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", event_id.to_string()),
        ("ce_source", format!("urn:uuid:{log_id}")),
        ("ce_type", "order.created".to_owned()),
        ("ce_subject", format!("order/{stream}")),
        ("content-type", "application/json".to_owned()),
        ("ce_dataschema", "urn:annals:schema:order.created:1".to_owned()),
        ("ce_position", "1".to_owned()),
        ("ce_prevposition", "0".to_owned()),
        ("ce_streamversion", "1".to_owned()),
        ("ce_schemaversion", "1".to_owned()),
        ("ce_actor", "a".to_owned()),
        ("ce_commandid", command_id.to_string()),
        ("ce_correlationid", "c".to_owned()),
        ("ce_causationid", cause.to_string()),
        ("ce_traceparent", "00-1-2-3".to_owned()),
    ];
    assert_eq!(headers, expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_again_and_again_repeats_nothing() {
    let stage = Stage::new().await;
    for round in 1..=4 {
        let relay = stage.relay_with(&[("relay_lease_ttl_ms", "500")]).await;
        stage.append_orders(400).await;
        // Killed somewhere on its way: the next one finds what it left.
        stage.relayed(round * 400 - 250).await;
        drop(relay);
    }
    let _relay = stage.relay().await;
    stage.relayed(1600).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_lags_repeats_nothing() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(100).await;
    stage.relayed(100).await;
    relay.shut_down().await;
    let reader = stage.database.reader();
    let before = reader.relayed().await.expect("readable");
    // What a crash of the database can leave of a commit that did not wait for the disk.
    let client = stage.database.client().await;
    client.batch_execute(include_str!("relay/forget_progress.sql")).await.expect("forgotten");
    let relay = stage.relay().await;
    stage.relayed(100).await;
    let learned = reader.relayed().await.expect("readable");
    assert_eq!(learned, before, "what a partition has counts as sent to it: a reader waits for it");
    assert_eq!(*relay.sent.known(), before, "and readers of the same process are told");
    stage.append_orders(10).await;
    stage.relayed(110).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_a_crash_took_is_learned_again() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    stage.append_orders(100).await;
    stage.relayed(100).await;
    let reader = stage.database.reader();
    let before = reader.relayed().await.expect("readable");
    let client = stage.database.client().await;
    let forget = || client.batch_execute(include_str!("relay/forget_progress.sql"));
    // Under a relay that goes on: at rest it notices by itself …
    forget().await.expect("forgotten");
    until("it is learned again", || async { reader.relayed().await.expect("readable") == before }).await;
    // … and what it records next is not put on top of nothing.
    forget().await.expect("forgotten");
    stage.append_orders(10).await;
    stage.relayed(110).await;
    let after = reader.relayed().await.expect("readable");
    assert!(after.includes(&before), "{after:?} after {before:?}");
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn low_latency_delivers_all_in_order() {
    let stage = Stage::new().await;
    let relay = stage.relay_with(&[("relay_mode", "low-latency")]).await;
    stage.append_orders(300).await;
    stage.relayed(300).await;
    relay.shut_down().await;
    stage.append_orders(100).await;
    // From one mode to the other and back nothing repeats.
    let relay = stage.relay().await;
    stage.relayed(400).await;
    relay.shut_down().await;
    let _relay = stage.relay_with(&[("relay_mode", "low-latency")]).await;
    stage.append_orders(100).await;
    stage.relayed(500).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_while_kafka_was_away_arrives() {
    let broker = Broker::start().await;
    let stage = Stage::with(support::topic_prefix(), broker.address()).await;
    let relay = stage.relay().await;
    stage.append_orders(50).await;
    stage.relayed(50).await;
    broker.down().await;
    stage.append_orders(200).await;
    relay.stopped_for("Kafka").await;
    broker.up().await;
    stage.relayed(250).await;
    assert_eq!(relay.status.borrow().stopped, None);
    stage.assert_topic_is_log("order").await;
    // So does what was appended before there was a Kafka at all.
    relay.shut_down().await;
    broker.down().await;
    let relay = stage.relay().await;
    stage.append_orders(50).await;
    relay.stopped_for("Kafka").await;
    broker.up().await;
    stage.relayed(300).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_in_place_of_the_old_one_gets_all() {
    let broker = Broker::start().await;
    let stage = Stage::with(support::topic_prefix(), broker.address()).await;
    let relay = stage.relay_with(&[("relay_topics_interval_ms", "100")]).await;
    stage.append_orders(50).await;
    stage.relayed(50).await;
    broker.replace().await;
    // Nothing is appended: the relay finds out by itself.
    stage.topics_are_log().await;
    until("all is well", || async { relay.status.borrow().stopped.is_none() }).await;
    stage.append_orders(10).await;
    stage.relayed(60).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_waits_for_a_new_topic_says_so_and_can_be_ended() {
    let broker = Broker::start().await;
    let stage = Stage::with(support::topic_prefix(), broker.address()).await;
    let patience = ("kafka_request_timeout_ms", "60000");
    let relay = stage.relay_with(&[patience, ("relay_stall_timeout_ms", "500")]).await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    broker.down().await;
    stage.append(append("project.created", "{}")).await;
    relay.stopped_for("Kafka has not answered").await;
    let ending = tokio::time::timeout(Duration::from_secs(20), relay.shut_down());
    ending.await.expect("without waiting for Kafka");
    // Whoever waits in vain would keep the test from its end.
    broker.up().await;
    let _relay = stage.relay().await;
    stage.relayed(11).await;
    stage.assert_topic_is_log("project").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_in_few_transactions() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        stage.append_orders(1_000).await;
    }
    let _relay = stage.relay_with(&[("relay_batch_events_max", "1000")]).await;
    stage.relayed(3_000).await;
    stage.assert_topic_is_log("order").await;
    let topic = stage.topic("order");
    until("each full one has ended", || async { topic.transactions().await.values().all(|n| *n >= 3) }).await;
    let transactions = topic.transactions().await;
    assert!(transactions.values().all(|count| *count <= 6), "{transactions:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_backlog_takes_little_memory() {
    const EVENTS: i64 = 600;
    const EVENT_BYTES: usize = 700 << 10;
    let stage = Stage::new().await;
    let brokers = support::kafka_brokers();
    let settings = [
        ("kafka_brokers", &*brokers),
        ("topic_prefix", &*stage.prefix),
        ("relay_batch_bytes_max", "4194304"),
    ];
    let relay = Process::relay(&stage.database, &settings);
    stage.append_orders(1).await;
    stage.relayed(1).await;
    // It sleeps while the log grows.
    relay.signal("STOP");
    let before = relay.memory_peak();
    let data = format!(r#"{{"customer_id":"{}","items":[],"total":1.00}}"#, "x".repeat(EVENT_BYTES));
    for _ in 0..EVENTS {
        stage.append(append("order.created", &data)).await;
    }
    relay.signal("CONT");
    stage.relayed(1 + EVENTS).await;
    let (grown, backlog) = (relay.memory_peak() - before, EVENTS as u64 * data.len() as u64);
    assert!(grown < backlog / 3, "{grown} bytes for {backlog}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_one_by_one_go_each_in_a_transaction_of_its_own() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    for position in 1..=5 {
        stage.append_orders(1).await;
        stage.relayed(position).await;
    }
    let topic = stage.topic("order");
    until("five have ended", || async { topic.transactions().await.values().sum::<i64>() == 5 }).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_larger_than_a_batch_go_one_by_one() {
    let stage = Stage::new().await;
    let data = format!(r#"{{"customer_id":"{}","items":[],"total":1.00}}"#, "x".repeat(2_000));
    for _ in 0..30 {
        stage.append(append("order.created", &data)).await;
    }
    let _relay = stage.relay_with(&[("relay_batch_bytes_max", "1024")]).await;
    stage.relayed(30).await;
    let topic = stage.topic("order");
    until("each is on its own", || async { topic.transactions().await.values().sum::<i64>() == 30 }).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_woken_by_writers_in_other_processes() {
    let stage = Stage::new().await;
    let brokers = support::kafka_brokers();
    let settings = [
        ("kafka_brokers", &*brokers),
        ("topic_prefix", &*stage.prefix),
        ("topic_partitions", "3"),
        ("relay_poll_interval_ms", "60000"),
    ];
    let annals = Process::serve(&stage.database, &["--role", "api"], &settings);
    let _relay = Process::relay(&stage.database, &settings);
    let pool = stage.database.pool();
    until("it relays", || async { Outbox::read(&pool).await.expect("readable").lease.is_some() }).await;
    let client = reqwest::Client::new();
    for position in 1..=3 {
        let order = client.post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
        let order = order.header("Content-Type", "application/json").body(ORDER);
        assert_eq!(order.send().await.expect("answered").status(), reqwest::StatusCode::CREATED);
        let relayed = tokio::time::timeout(Duration::from_secs(20), stage.relayed(position));
        relayed.await.expect("long before the poll");
    }
    stage.assert_topic_is_log("order").await;
}
