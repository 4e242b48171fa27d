//! The relay between a real Postgres and a real Kafka: every event arrives, once and in order, whatever is cut off.

mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::{collections::BTreeMap, time::Duration};

use annals::{
    kafka,
    log::{Append, Appender, Event, Expected, Position},
    relay::{self, Deps, Outbox, Role, Status},
};
use support::{Database, ORDER, append, append_to, until};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use topic::Topic;
use uuid::Uuid;

/// A log, topics of its own, and relays between them.
struct Stage {
    database: Database,
    appender: Appender,
    head: watch::Receiver<Position>,
    prefix: String,
}

/// A relay as a process would run it. Dropped, it ends like one that was killed: the lease stays taken.
struct Relay {
    task: JoinHandle<()>,
    status: watch::Receiver<Status>,
    shutdown: CancellationToken,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    async fn shut_down(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("the relay ends in order");
    }

    async fn stopped_for(&self, reason: &str) {
        let says = || async {
            self.status
                .borrow()
                .stopped
                .as_ref()
                .is_some_and(|text| text.contains(reason))
        };
        until(&format!("the relay stops and says `{reason}`"), says).await;
    }

    fn role(&self) -> Role {
        self.status.borrow().role
    }
}

impl Stage {
    async fn new() -> Self {
        Self::with_prefix(support::topic_prefix()).await
    }

    async fn with_prefix(prefix: String) -> Self {
        let database = Database::new().await;
        let (appender, head) = database.appender(&[("topic_partitions", "3")]);
        Self {
            database,
            appender,
            head,
            prefix,
        }
    }

    async fn relay(&self) -> Relay {
        self.relay_with(&[]).await
    }

    async fn relay_with(&self, settings: &[(&str, &str)]) -> Relay {
        let brokers = support::kafka_brokers();
        let own = [
            ("kafka_brokers", brokers.as_str()),
            ("topic_prefix", &self.prefix),
            // Batches small enough that a kill meets one, a lease short enough to wait for.
            ("relay_batch_events_max", "50"),
            ("relay_lease_ttl_ms", "1500"),
        ];
        let settings: Vec<_> = own.into_iter().chain(settings.iter().copied()).collect();
        let config = self.database.config(&settings);
        let (status, watched) = watch::channel(Status::default());
        let deps = Deps {
            reader: self.database.reader(),
            writer: self.database.pool(),
            identity: self.database.identity().await,
            head: self.head.clone(),
            status,
        };
        let shutdown = CancellationToken::new();
        let kafka = config.kafka.expect("Kafka is set");
        let task = tokio::spawn(relay::run(deps, kafka, config.relay, shutdown.clone()));
        Relay {
            task,
            status: watched,
            shutdown,
        }
    }

    async fn append(&self, append: Append) {
        self.appender.append(append).await.expect("appended");
    }

    async fn append_orders(&self, count: usize) {
        let appends = (0..count).map(|_| self.appender.append(append("order.created", ORDER)));
        for outcome in futures_util::future::join_all(appends).await {
            outcome.expect("appended");
        }
    }

    async fn relayed(&self, position: i64) {
        let pool = self.database.pool();
        until(&format!("everything up to {position} is relayed"), || async {
            Outbox::read(&pool).await.expect("readable").cursor >= Position(position)
        })
        .await;
    }

    fn topic(&self, stream_type: &str) -> Topic {
        Topic::new(kafka::topic(&self.prefix, stream_type), 3)
    }

    /// The topic holds exactly the log's events of this type, each in its partition, in order and chained.
    async fn assert_topic_is_log(&self, stream_type: &str) {
        let mut expected: BTreeMap<i32, Vec<Event>> = BTreeMap::new();
        for mut event in self.database.events().await {
            if event.stream_type == stream_type {
                // A record's metadata is made of its headers, so it is compared as what it means.
                event.metadata = annals::json::RawJson::of(
                    &event.metadata.parse::<annals::log::Metadata>().expect("metadata"),
                );
                expected
                    .entry(kafka::partition(event.stream_id, 3))
                    .or_default()
                    .push(event);
            }
        }
        let source = kafka::source(self.database.identity().await.log_id);
        for (partition, records) in self.topic(stream_type).read().await {
            let events: Vec<_> = records.iter().map(|record| record.event.clone()).collect();
            assert_eq!(
                events,
                expected.remove(&partition).unwrap_or_default(),
                "partition {partition}"
            );
            let previous = std::iter::once(Position(0)).chain(events.iter().map(|event| event.position));
            assert!(
                records
                    .iter()
                    .zip(previous)
                    .all(|(record, previous)| record.previous == previous)
            );
            assert!(records.iter().all(|record| record.source == source));
        }
        assert!(
            expected.is_empty(),
            "partitions without records: {:?}",
            expected.keys()
        );
    }
}

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
        stage
            .append(append(
                "project.created",
                r#"{"name":"tea","amount":90071992547409.93}"#,
            ))
            .await;
        stage
            .append(append_to(
                *stream,
                Expected::Any,
                &[("order.cancelled", r#"{"reason":"rain"}"#)],
            ))
            .await;
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
    created.events[0].metadata = annals::json::RawJson::trusted(format!(
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
    assert_eq!(
        recorded_at
            .parse::<chrono::DateTime<chrono::Utc>>()
            .expect("RFC 3339"),
        event.recorded_at
    );
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
    assert_eq!(
        headers,
        expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    );
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
    // What a crash of the database can leave of a commit that did not wait for the disk.
    let client = stage.database.client().await;
    client
        .batch_execute(include_str!("relay/forget_progress.sql"))
        .await
        .expect("forgotten");
    stage.append_orders(10).await;
    let _relay = stage.relay().await;
    stage.relayed(110).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_is_filled_again() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(100).await;
    stage.append(append("project.created", "{}")).await;
    stage.relayed(101).await;
    relay.shut_down().await;
    let before = stage.database.reader().stream_types().await.expect("readable");
    stage.topic("order").delete().await;
    stage.append_orders(20).await;
    let _relay = stage.relay().await;
    stage.relayed(121).await;
    stage.assert_topic_is_log("order").await;
    stage.assert_topic_is_log("project").await;
    let after = stage.database.reader().stream_types().await.expect("readable");
    assert_ne!(before["order"].topic_id, after["order"].topic_id);
    assert_eq!(before["project"].topic_id, after["project"].topic_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_under_a_running_relay_is_filled_again() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    stage.append_orders(100).await;
    stage.relayed(100).await;
    stage.topic("order").delete().await;
    stage.topic("order").create().await;
    stage.append_orders(20).await;
    stage.relayed(120).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_lost_its_end_is_rewound() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(90).await;
    stage.relayed(90).await;
    relay.shut_down().await;
    let topic = stage.topic("order");
    let records = topic.read().await;
    topic.delete().await;
    topic.create().await;
    // One partition keeps all, one keeps half, one is empty.
    for (partition, kept) in [(0, usize::MAX), (1, records[&1].len() / 2), (2, 0)] {
        topic
            .write(partition, records[&partition].iter().take(kept))
            .await;
    }
    stage.append_orders(10).await;
    let _relay = stage.relay().await;
    stage.relayed(100).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relays_and_another_takes_over_when_it_dies() {
    let stage = Stage::new().await;
    let first = stage.relay().await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let second = stage.relay().await;
    until("the second stands by", || async {
        second.role() == Role::Standby
    })
    .await;
    assert_eq!(first.role(), Role::Leader);
    drop(first);
    stage.append_orders(10).await;
    let takeover = stage.relayed(20);
    tokio::time::timeout(Duration::from_secs(5), takeover)
        .await
        .expect("within 5 s");
    assert_eq!(second.role(), Role::Leader);
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lost_its_lease_stands_by() {
    let stage = Stage::new().await;
    let first = stage.relay().await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let client = stage.database.client().await;
    let steal = include_str!("relay/steal_lease.sql");
    client.batch_execute(steal).await.expect("stolen");
    until("the first stands by", || async { first.role() == Role::Standby }).await;
    stage.append_orders(10).await;
    // It takes the lease again once the thief's is over.
    stage.relayed(20).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_from_before_is_fenced() {
    let stage = Stage::new().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    stage.relayed(10).await;
    relay.shut_down().await;
    let topic = stage.topic("order");
    let records = topic.read().await;
    let log_id = stage.database.identity().await.log_id;
    let zombie = topic
        .begin_as(&format!("{}.relay.{log_id}.0", stage.prefix), &records[&0])
        .await;
    stage.append_orders(10).await;
    let _relay = stage.relay().await;
    stage.relayed(20).await;
    assert!(zombie.commit().await.is_err(), "a fenced producer cannot commit");
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_other_partitions_is_refused_until_it_is_gone() {
    let stage = Stage::new().await;
    let wrong = Topic::new(kafka::topic(&stage.prefix, "order"), 5);
    wrong.create().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    relay.stopped_for("has 5 partitions, the log fixed 3").await;
    wrong.delete().await;
    stage.relayed(10).await;
    stage.assert_topic_is_log("order").await;
    assert_eq!(relay.status.borrow().stopped, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_another_log_are_refused() {
    let stage = Stage::new().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    stage.relayed(10).await;
    relay.shut_down().await;
    let other = Stage::with_prefix(stage.prefix.clone()).await;
    other.append_orders(30).await;
    let refused = other.relay().await;
    refused.stopped_for("holds events of another log").await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_from_an_older_backup_is_refused() {
    let stage = Stage::new().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    stage.relayed(10).await;
    relay.shut_down().await;
    let restored = Stage::with_prefix(stage.prefix.clone()).await;
    let client = restored.database.client().await;
    let log_id = stage.database.identity().await.log_id;
    client
        .execute(include_str!("relay/take_identity.sql"), &[&log_id])
        .await
        .expect("it is the same log");
    restored.append_orders(5).await;
    restored
        .relay()
        .await
        .stopped_for("was restored from an older backup")
        .await;
    restored.append_orders(20).await;
    restored
        .relay()
        .await
        .stopped_for("was restored from an older backup")
        .await;
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
