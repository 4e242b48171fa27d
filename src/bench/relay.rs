//! The relay: how fast a backlog drains, and how long after its commit a consumer has an event.

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::{
    Scratch,
    consumer::Consumer,
    load,
    table::{Line, Table, grouped, histogram},
};
use crate::{
    config::{self, Config, RelayMode},
    kafka,
    log::{Appender, Identity, LogReader, Outcome, Position},
    relay::{self, Deps, Sent, Status},
    trace::Spans,
};

/// The first second of the latencies does not count: the backlog has just drained, and consumers join.
const WARMUP_SECONDS: u32 = 1;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// exactly-once or low-latency; both by default.
    #[arg(long = "mode", value_name = "MODE", value_delimiter = ',', value_parser = mode,
        default_value = "exactly-once,low-latency")]
    pub modes: Vec<RelayMode>,
    /// Events of the backlog.
    #[arg(long, default_value_t = 200_000)]
    pub events: usize,
    /// Events per second while latency is measured, one per append.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Seconds for which latency is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    #[command(flatten)]
    pub table: Table,
}

fn mode(name: &str) -> Result<RelayMode, String> {
    match name {
        "exactly-once" => Ok(RelayMode::ExactlyOnce),
        "low-latency" => Ok(RelayMode::LowLatency),
        other => Err(format!("there is no mode `{other}`")),
    }
}

/// Measures and prints a line per mode, each on a database and a topic of its own.
pub async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let rate = grouped(options.rate.into());
    options.table.begin(&format!("backlog; commit to consumer at {rate}/s"));
    for mode in &options.modes {
        let mut kafka = config.kafka.clone().context("no Kafka is configured: set ANNALS_KAFKA_BROKERS")?;
        kafka.topic_prefix = format!("bench-{}", Uuid::now_v7().simple());
        let scratch = Scratch::new(&config.databases).await?;
        let measured = measure(&config, &options, *mode, &kafka, &scratch).await;
        let topics = vec![topic(&kafka)];
        spawn_blocking(move || kafka::delete_topics(&kafka, &topics)).await??;
        scratch.drop().await?;
        let (drained, latencies) = measured?;
        let what = match mode {
            RelayMode::ExactlyOnce => "exactly-once",
            RelayMode::LowLatency => "low-latency",
        };
        let line = Line { what: what.into(), per_second: Some(drained as u64), ..Line::default() };
        options.table.line(&line.latencies(&latencies));
    }
    Ok(())
}

fn topic(kafka: &config::Kafka) -> String {
    kafka::topic(&kafka.topic_prefix, load::ORDERS)
}

async fn measure(
    config: &Config,
    options: &Options,
    mode: RelayMode,
    kafka: &config::Kafka,
    scratch: &Scratch,
) -> anyhow::Result<(f64, Histogram<u64>)> {
    let (appender, head) = scratch.appender(config);
    load::orders(&appender, options.events).await?;
    let pool = scratch.pool(config)?;
    let (status, mut watched) = watch::channel(Status::default());
    let deps = Deps {
        reader: LogReader::beside(pool.clone(), head.clone()),
        identity: Identity::read(&pool).await?,
        writer: pool,
        head: head.clone(),
        status,
        sent: Sent::default(),
        spans: Spans::default(),
    };
    let settings = config::Relay { mode, ..config.relay.clone() };
    let relay = relay::run(deps, kafka.clone(), settings, CancellationToken::new());
    let _relay = AbortOnDropHandle::new(tokio::spawn(relay));

    // From the first batch on: what came before is the start of a producer.
    let first = watched.wait_for(|status| status.cursor > Position(0)).await?.cursor;
    let started = Instant::now();
    let last = *head.borrow();
    watched.wait_for(|status| status.cursor >= last).await?;
    let drained = (last.0 - first.0) as f64 / started.elapsed().as_secs_f64();

    let warmup = options.rate as usize * WARMUP_SECONDS as usize;
    let total = warmup + options.rate as usize * options.seconds as usize;
    let (name, partitions) = (topic(kafka), kafka.partitions);
    let kafka = kafka.clone();
    let consumer = spawn_blocking(move || Consumer::at_end(&kafka, &name, partitions)).await??;
    let arrivals = spawn_blocking(move || consumer.read(last, total));
    let commits = append_steadily(&appender, options.rate, total).await?;
    let mut latencies = histogram();
    let counts = |(position, _): &(Position, Instant)| position.0 > last.0 + warmup as i64;
    for (position, arrived) in arrivals.await??.into_iter().filter(counts) {
        let committed = commits.get(&position).context("a record that was not appended")?;
        latencies.saturating_record(arrived.saturating_duration_since(*committed).as_micros() as u64);
    }
    Ok((drained, latencies))
}

/// Appends one event per tick, without waiting for the answers; returns when each was committed.
async fn append_steadily(
    appender: &Appender,
    rate: u32,
    total: usize,
) -> anyhow::Result<HashMap<Position, Instant>> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut appends = JoinSet::new();
    for _ in 0..total {
        ticks.tick().await;
        let appender = appender.clone();
        appends.spawn(async move { (appender.append(load::order(1)).await, Instant::now()) });
    }
    let mut commits = HashMap::with_capacity(total);
    while let Some(append) = appends.join_next().await {
        let (outcome, at) = append?;
        let Outcome::Appended { positions: Some((position, _)), .. } = outcome? else {
            anyhow::bail!("an order was not appended");
        };
        commits.insert(position, at);
    }
    Ok(commits)
}
