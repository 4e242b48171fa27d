//! Debezium's outbox: how fast a backlog drains, and how long after its commit a consumer has an event.
//!
//! The same definitions as `annals bench relay`: the drain counts from the first arrival to the last, latency from the
//! answer to the insert's commit to the arrival at a consumer of committed records.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval},
};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{
    clients::{histogram, line},
    store::pool,
};

const TABLE: &str = include_str!("../sql/outbox_table.sql");
const SLOT: &str = include_str!("../sql/outbox_slot.sql");
const BACKLOG: &str = include_str!("../sql/outbox_backlog.sql");
const INSERT: &str = include_str!("../sql/outbox_insert.sql");
/// Rows per transaction of the backlog.
const BACKLOG_ROWS: i32 = 1_000;
/// Longest wait for the topic, and for the next record.
const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: usize = 32;
/// The first second of the latencies does not count: the backlog has just drained.
const WARMUP_SECONDS: u32 = 1;

#[derive(clap::Args)]
pub struct Prepare {
    #[arg(long)]
    url: String,
    #[arg(long)]
    payload: PathBuf,
    #[arg(long, default_value_t = 200_000)]
    events: i32,
}

#[derive(clap::Args)]
pub struct Measure {
    #[command(flatten)]
    backlog: Prepare,
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    /// Events per second while latency is measured.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

pub async fn prepare(options: Prepare) -> anyhow::Result<Value> {
    let client = pool(&options.url, "", 1)?.get().await?;
    client.batch_execute(TABLE).await?;
    client.query_one(SLOT, &[]).await?;
    let data = data(&options.payload)?;
    let statement = client.prepare(BACKLOG).await?;
    let mut stored = 0;
    while stored < options.events {
        let rows = BACKLOG_ROWS.min(options.events - stored);
        client.execute(&statement, &[&rows, &Json(&*data)]).await?;
        stored += rows;
    }
    Ok(json!({ "stored": stored }))
}

/// Waits for the connector's topic, takes the backlog, then appends at a steady rate.
pub async fn measure(options: Measure) -> anyhow::Result<Value> {
    let (brokers, topic) = (options.brokers.clone(), options.topic.clone());
    let consumer = spawn_blocking(move || from_the_beginning(&brokers, &topic)).await??;
    let backlog = options.backlog.events as usize;
    let (consumer, arrived) =
        spawn_blocking(move || take(&consumer, backlog).map(|arrived| (consumer, arrived))).await??;
    let (first, last) = (arrived.values().min(), arrived.values().max());
    let (first, last) = first.zip(last).context("an empty backlog")?;
    let drained = (backlog - 1) as f64 / last.duration_since(*first).as_secs_f64();

    let total = (options.rate * (WARMUP_SECONDS + options.seconds)) as usize;
    let arrivals = spawn_blocking(move || take(&consumer, total));
    let began = Instant::now();
    let counting = began + Duration::from_secs(WARMUP_SECONDS.into());
    let commits = insert_steadily(&options, total).await?;
    let elapsed = began.elapsed();
    let arrivals = arrivals.await??;
    let mut latencies = histogram();
    let counts = |(_, committed): &(&String, &Instant)| **committed >= counting;
    for (key, committed) in commits.iter().filter(counts) {
        let arrived = arrivals.get(key).context("an event that never arrived")?;
        latencies.saturating_record(arrived.saturating_duration_since(*committed).as_micros() as u64);
    }
    let mut line = line(commits.len() as u64, elapsed, &latencies, (backlog + total) as i64);
    line["drain"] = drained.into();
    Ok(line)
}

fn data(payload: &PathBuf) -> anyhow::Result<Box<RawValue>> {
    Ok(RawValue::from_string(fs::read_to_string(payload)?)?)
}

async fn insert_steadily(options: &Measure, total: usize) -> anyhow::Result<HashMap<String, Instant>> {
    let pool = pool(&options.backlog.url, "", WRITERS)?;
    let data = data(&options.backlog.payload)?;
    let mut ticks = interval(Duration::from_secs(1) / options.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut inserts = JoinSet::new();
    for _ in 0..total {
        ticks.tick().await;
        let (pool, data) = (pool.clone(), data.clone());
        inserts.spawn(async move {
            let id = Uuid::now_v7();
            let client = pool.get().await?;
            let statement = client.prepare_cached(INSERT).await?;
            client.execute(&statement, &[&id, &Json(&*data)]).await?;
            anyhow::Ok((id.to_string(), Instant::now()))
        });
    }
    inserts.join_all().await.into_iter().collect()
}

/// A consumer of all partitions, once the topic is there. Blocks.
fn from_the_beginning(brokers: &str, topic: &str) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "peers")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        ensure!(Instant::now() < deadline, "no topic {topic}");
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if partitions > 0 {
            let mut all = TopicPartitionList::new();
            for partition in 0..partitions as i32 {
                all.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
            consumer.assign(&all)?;
            return Ok(consumer);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes so many records; when each key arrived. Blocks.
fn take(consumer: &BaseConsumer, records: usize) -> anyhow::Result<HashMap<String, Instant>> {
    let mut arrived = HashMap::with_capacity(records);
    while arrived.len() < records {
        let message = consumer.poll(PATIENCE).context("nothing arrives any more")??;
        let at = Instant::now();
        let key = std::str::from_utf8(message.key().context("a record without a key")?)?;
        arrived.insert(key.trim_matches('"').to_owned(), at);
    }
    Ok(arrived)
}
