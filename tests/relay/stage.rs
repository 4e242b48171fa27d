//! A log, a topic prefix of its own, and relays between them, as tests set them up.

#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of it")]

use std::collections::BTreeMap;

use annals::{
    config,
    json::RawJson,
    kafka::{self, Record},
    log::{Append, Appender, Event, LogReader, Metadata, Position, head},
    relay::{
        self, Deps, Role, Sent, Status,
        reconcile::{self, Comparison},
    },
    trace::Spans,
};
use deadpool_postgres::Pool;
use secrecy::SecretString;
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    support::{self, DEADLINE, Database, ORDER, append, until},
    topic::Topic,
};

/// Of every topic.
const PARTITIONS: i32 = 3;

/// A log, topics of its own, and relays between them.
pub(crate) struct Stage {
    pub(crate) database: Database,
    appender: Appender,
    head: watch::Receiver<Position>,
    pub(crate) prefix: String,
    brokers: String,
}

/// A relay as a process would run it. Dropped, it ends like one that was killed: the lease stays taken.
pub(crate) struct Relay {
    task: JoinHandle<()>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) sent: Sent,
    shutdown: CancellationToken,
    _listening: AbortOnDropHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub(crate) async fn shut_down(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("the relay ends in order");
    }

    pub(crate) async fn stopped_for(&self, reason: &str) {
        let says =
            || async { self.status.borrow().stopped.as_ref().is_some_and(|text| text.contains(reason)) };
        until(&format!("the relay stops and says `{reason}`"), says).await;
    }

    pub(crate) fn role(&self) -> Role {
        self.status.borrow().role
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(support::topic_prefix(), support::kafka_brokers()).await
    }

    pub(crate) async fn with(prefix: String, brokers: String) -> Self {
        let database = Database::new().await;
        let (appender, head) = database.appender(&[("topic_partitions", &PARTITIONS.to_string())]);
        Self { database, appender, head, prefix, brokers }
    }

    pub(crate) async fn relay(&self) -> Relay {
        self.relay_with(&[]).await
    }

    pub(crate) async fn relay_with(&self, settings: &[(&str, &str)]) -> Relay {
        self.relay_over(self.database.pool(), self.database.pool(), settings).await
    }

    /// One that reads the log, and writes its state and its lease, through these pools.
    pub(crate) async fn relay_over(&self, reader: Pool, writer: Pool, settings: &[(&str, &str)]) -> Relay {
        let (kafka, config) = self.settings(settings);
        let (status, watched) = watch::channel(Status::default());
        let sent = Sent::default();
        let shutdown = CancellationToken::new();
        let (told, head) = watch::channel(Position::default());
        let url = SecretString::from(self.database.url.clone());
        let listening = head::listen(url, DEADLINE, self.head.clone(), told, shutdown.clone());
        let deps = Deps {
            reader: LogReader::new(reader),
            writer,
            identity: self.database.identity().await,
            head,
            status,
            sent: sent.clone(),
            spans: Spans::default(),
        };
        let task = tokio::spawn(relay::run(deps, kafka, config, shutdown.clone()));
        let listening = AbortOnDropHandle::new(tokio::spawn(listening));
        Relay { task, status: watched, sent, shutdown, _listening: listening }
    }

    pub(crate) async fn append(&self, append: Append) {
        self.appender.append(append).await.expect("appended");
    }

    pub(crate) async fn append_orders(&self, count: usize) {
        let appends = (0..count).map(|_| self.appender.append(append("order.created", ORDER)));
        for outcome in futures_util::future::join_all(appends).await {
            outcome.expect("appended");
        }
    }

    pub(crate) async fn relayed(&self, position: i64) {
        let reader = self.database.reader();
        until(&format!("everything up to {position} is relayed"), || async {
            reader.relayed().await.expect("readable").cursor >= Position(position)
        })
        .await;
    }

    /// What each topic has that the log has not, and the other way round.
    pub(crate) async fn compare(&self) -> Vec<Comparison> {
        self.try_compare().await.expect("compared")
    }

    async fn try_compare(&self) -> Result<Vec<Comparison>, relay::Error> {
        let (kafka, relay) = self.settings(&[("relay_batch_events_max", "7")]);
        reconcile::compare(&self.database.reader(), &kafka, &relay, |_, _| {}).await
    }

    pub(crate) async fn send_again(&self, stream_type: &str) {
        let (kafka, relay) = self.settings(&[]);
        let topics = vec![kafka::topic(&self.prefix, stream_type)];
        reconcile::send_again(&kafka, &relay, &self.database.pool(), topics).await.expect("deleted");
    }

    /// Whether a topic is to lose records by itself.
    pub(crate) async fn forgets(&self, stream_type: &str) -> bool {
        let (kafka, _) = self.settings(&[]);
        let topic = kafka::topic(&self.prefix, stream_type);
        spawn_blocking(move || kafka::forgets(&kafka, &topic).expect("described")).await.expect("joined")
    }

    fn settings(&self, more: &[(&str, &str)]) -> (config::Kafka, config::Relay) {
        let own = [
            ("kafka_brokers", self.brokers.as_str()),
            ("topic_prefix", &self.prefix),
            // Batches small enough that a kill meets one, a lease short enough to wait for.
            ("relay_batch_events_max", "50"),
            ("relay_lease_ttl_ms", "1500"),
            // Where a test is not about it, nobody looks.
            ("relay_topics_interval_ms", "600000"),
        ];
        let settings: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
        let config = self.database.config(&settings);
        (config.kafka.expect("Kafka is set"), config.relay)
    }

    pub(crate) fn topic(&self, stream_type: &str) -> Topic {
        self.topic_of(stream_type, PARTITIONS)
    }

    /// The topic with another number of partitions than ours.
    pub(crate) fn topic_of(&self, stream_type: &str, partitions: i32) -> Topic {
        Topic::new(self.brokers.clone(), kafka::topic(&self.prefix, stream_type), partitions)
    }

    /// Waits until the topics hold the log, each event once.
    pub(crate) async fn topics_are_log(&self) {
        until("the topics hold the log", || async {
            let compared = self.try_compare().await;
            let is_log = |topic: &Comparison| !topic.is_wrong() && topic.repeated.count == 0;
            compared.is_ok_and(|compared| compared.iter().all(is_log))
        })
        .await;
    }

    /// The log's events of this type, by partition.
    async fn expected(&self, stream_type: &str) -> BTreeMap<i32, Vec<Event>> {
        let mut expected: BTreeMap<i32, Vec<Event>> = BTreeMap::new();
        for mut event in self.database.events().await {
            if event.stream_type == stream_type {
                // A record's metadata is made of its headers, so it is compared as what it means.
                event.metadata = RawJson::of(&event.metadata.parse::<Metadata>().expect("metadata"));
                expected.entry(kafka::partition(event.stream_id, PARTITIONS)).or_default().push(event);
            }
        }
        expected
    }

    /// Whoever passes over what it had already finds the log's events of this type in the topic, in order. A partition
    /// may repeat so many runs, each of them as long as a part of one batch and as the log has it.
    pub(crate) async fn assert_topic_has_log(&self, stream_type: &str, runs_max: usize, batch: usize) {
        let expected = self.expected(stream_type).await;
        for (partition, records) in self.topic(stream_type).read().await {
            let (events, runs) = without_repeats(records);
            assert_eq!(Some(&events), expected.get(&partition), "partition {partition}");
            let positions: Vec<Vec<i64>> =
                runs.iter().map(|run| run.iter().map(|event| event.position.0).collect()).collect();
            assert!(runs.len() <= runs_max, "partition {partition} repeats {positions:?}");
            let is_part =
                |run: &Vec<Event>| run.len() <= batch && events.windows(run.len()).any(|w| w == run);
            assert!(runs.iter().all(is_part), "partition {partition} repeats {positions:?}");
        }
    }

    /// The topic holds exactly the log's events of this type, each in its partition, in order and chained.
    pub(crate) async fn assert_topic_is_log(&self, stream_type: &str) {
        let mut expected = self.expected(stream_type).await;
        let source = kafka::source(self.database.identity().await.log_id);
        for (partition, records) in self.topic(stream_type).read().await {
            let events: Vec<_> = records.iter().map(|record| record.event.clone()).collect();
            assert_eq!(events, expected.remove(&partition).unwrap_or_default(), "partition {partition}");
            let previous = std::iter::once(Position(0)).chain(events.iter().map(|event| event.position));
            assert!(records.iter().zip(previous).all(|(record, previous)| record.previous == previous));
            assert!(records.iter().all(|record| record.source == source));
        }
        assert!(expected.is_empty(), "partitions without records: {:?}", expected.keys());
    }
}

/// The events of a partition in their order, and each run of those that stand at or below one before them.
fn without_repeats(records: Vec<Record>) -> (Vec<Event>, Vec<Vec<Event>>) {
    let (mut events, mut runs) = (Vec::<Event>::new(), Vec::<Vec<Event>>::new());
    let mut repeats = false;
    for Record { event, .. } in records {
        let is_new = events.last().is_none_or(|last| last.position < event.position);
        if is_new {
            events.push(event);
        } else if repeats {
            runs.last_mut().expect("one is open").push(event);
        } else {
            runs.push(vec![event]);
        }
        repeats = !is_new;
    }
    (events, runs)
}
