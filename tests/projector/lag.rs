//! How far projections are behind, told from the checkpoints and the log alone.

use std::collections::BTreeMap;

use annals::{
    log::Position,
    projector::{self, Lag, Status},
};

use crate::{
    stage::{Counters, Stage, shipped},
    support::{self, append, process::Process, until},
};

const FAST: (&str, &str) = ("projector_poll_interval_ms", "50");

/// How far each partition of the counters is behind, as a process exports it.
async fn exported(process: &Process) -> BTreeMap<String, f64> {
    let metrics = reqwest::get(format!("{}/metrics", process.url)).await.expect("answered");
    let metrics = metrics.text().await.expect("text");
    let of_counters = "annals_projection_partition_lag_events{projection=\"counters\",partition=\"";
    let lags = metrics.lines().filter_map(|line| line.strip_prefix(of_counters)?.split_once("\"} "));
    lags.map(|(partition, lag)| (partition.to_owned(), lag.parse().expect("a number"))).collect()
}

impl Stage {
    async fn lags(&self) -> BTreeMap<String, Lag> {
        projector::lags(&self.database.reader(), &self.database.pool()).await.expect("told")
    }

    async fn lag(&self) -> Lag {
        self.lags().await["counters"]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_in_events_and_in_time_and_idle_partitions_have_none() {
    for over_kafka in [false, true] {
        let stage = Stage::new().await;
        let _relay = if over_kafka { Some(stage.relay().await) } else { None };
        let folder = shipped("counters");
        let process = match over_kafka {
            true => stage.kafka_process(&[&folder], &[]).await,
            false => stage.process(&[&folder], &[]).await,
        };
        until("the projection is made", async || stage.lags().await.contains_key("counters")).await;
        // Over Kafka all partitions but the last counter's stand where they stood.
        let (mut counters, mut last) = (Counters::new(20), Counters::new(1));
        stage.count(&mut counters, 20).await;
        stage.count(&mut last, 20).await;
        until("all is folded", async || stage.lag().await == Lag::default()).await;

        let pool = stage.database.pool();
        projector::set_paused(&pool, "counters", true).await.expect("paused");
        stage.count(&mut last, 1).await;
        until("it is paused", async || process.status("counters") == Status::Paused).await;
        until("the lag is told", async || stage.lag().await.events > 0).await;
        let before = stage.lag().await;
        let head = stage.database.reader().head().await.expect("a head");
        stage.count(&mut last, 5).await;
        let events = stage.database.reader().head().await.expect("a head").0 - head.0;
        let now = stage.lag().await;
        assert_eq!(now.events, before.events + events, "over Kafka: {over_kafka}");
        assert!(now.seconds > before.seconds && before.seconds > 0.0, "{before:?}, {now:?}");

        projector::set_paused(&pool, "counters", false).await.expect("resumed");
        until("all is folded", async || stage.lag().await == Lag::default()).await;
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beyond_is_told_by_its_last_event_alone() {
    let stage = Stage::new().await;
    for _ in 0..10 {
        stage.append(append("order.created", support::ORDER)).await;
    }
    stage.append(append("counter.created", r#"{"code_hash":"x"}"#)).await;
    let log = stage.database.reader();
    let among = async |count| {
        let told = log.recorded(Position(0), &["counter".to_owned()], 100, count).await.expect("told");
        told.into_iter().map(|event| (event.position.0, event.stream_type)).collect::<Vec<_>>()
    };
    assert_eq!(among(5).await, [(5, "order".to_owned())]);
    assert_eq!(among(20).await, [(11, "counter".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_s_lag_is_told_also_while_its_projection_stands_still() {
    let stage = Stage::new().await;
    let process = Process::serve(&stage.database, &[], &[FAST]);
    let mut counters = Counters::new(20);
    stage.count(&mut counters, 20).await;
    let none_is_behind = async || {
        let lags = exported(&process).await;
        lags.len() == 4 && lags.values().all(|lag| *lag == 0.0)
    };
    until("all are told, and none is behind", none_is_behind).await;

    let pool = stage.database.pool();
    projector::set_paused(&pool, "counters", true).await.expect("paused");
    stage.count(&mut counters, 20).await;
    let is_behind = async || exported(&process).await.values().any(|lag| *lag > 0.0);
    until("a partition is behind", is_behind).await;
    projector::set_paused(&pool, "counters", false).await.expect("resumed");
    until("none is behind", none_is_behind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_partition_that_a_worker_lost_is_not_its_to_tell() {
    let stage = Stage::new().await;
    let brokers = support::kafka_brokers();
    let settings = [
        FAST,
        ("kafka_brokers", &*brokers),
        ("topic_prefix", &*stage.prefix),
        ("projector_session_timeout_ms", "6000"),
    ];
    let first = Process::serve(&stage.database, &[], &settings);
    let mut counters = Counters::new(20);
    stage.count(&mut counters, 20).await;
    until("the first has all partitions", async || exported(&first).await.len() == 4).await;
    let second = Process::serve(&stage.database, &[], &settings);
    until("each tells of its own", async || {
        let (first, second) = (exported(&first).await, exported(&second).await);
        let is_shared = first.keys().any(|partition| second.contains_key(partition));
        !first.is_empty() && !second.is_empty() && !is_shared && first.len() + second.len() == 4
    })
    .await;
    drop(second);
    until("the first has all again", async || exported(&first).await.len() == 4).await;
}
