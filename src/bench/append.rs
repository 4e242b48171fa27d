//! Appends of new streams through the group commit, by a number of clients that each wait for their answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{
    Scratch,
    table::{grouped, histogram, millis},
};
use crate::{
    config::Config,
    json::RawJson,
    log::{Append, Appender, Expected, Metadata, NewEvent, Outcome, Position, Status, StreamId},
};

/// An order event of 250 bytes.
const DATA: &str = r#"{"customer_id":"customer-000042","items":[{"sku":"tea-earl-grey-100g","quantity":2,"unit_price":4.50},{"sku":"mug-blue-350ml-porcelain","quantity":1,"unit_price":12.00},{"sku":"spoon-steel","quantity":6,"unit_price":1.25}],"total":28.50,"note":"-------"}"#;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Numbers of concurrent clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub clients: Vec<usize>,
    /// Seconds per number of clients.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Also hold a transaction open with a snapshot from the beginning, as a pg_dump or a forgotten session does.
    #[arg(long)]
    pub idle_transaction: bool,
}

/// Measures and prints a line per number of clients.
pub async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let scratch = Scratch::new(&config.databases).await?;
    let snapshot = scratch.connect().await?;
    if options.idle_transaction {
        snapshot.batch_execute(include_str!("hold_snapshot.sql")).await?;
    }
    println!("clients  events/s   p50 ms   p99 ms   max ms");
    for clients in &options.clients {
        let (events, elapsed, latencies) =
            measure(&config, &scratch, *clients, Duration::from_secs(options.seconds)).await?;
        println!(
            "{clients:>7}  {:>8}  {:>7}  {:>7}  {:>7}",
            grouped((events as f64 / elapsed.as_secs_f64()) as u64),
            millis(&latencies, 0.5),
            millis(&latencies, 0.99),
            millis(&latencies, 1.0),
        );
    }
    drop(snapshot);
    scratch.drop().await
}

async fn measure(
    config: &Config,
    scratch: &Scratch,
    clients: usize,
    duration: Duration,
) -> anyhow::Result<(u64, Duration, Histogram<u64>)> {
    let (appended, _) = watch::channel(Position::default());
    let (appender, task) = Appender::new(
        scratch.url.clone(),
        config.databases.tcp_user_timeout,
        config.append.clone(),
        appended,
    );
    tokio::spawn(task.run());
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let running: Vec<_> =
        (0..clients).map(|_| tokio::spawn(client(appender.clone(), stop.clone()))).collect();
    tokio::time::sleep(duration).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = histogram();
    for client in running {
        latencies.add(client.await??)?;
    }
    Ok((latencies.len(), started.elapsed(), latencies))
}

async fn client(appender: Appender, stop: Arc<AtomicBool>) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = histogram();
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let outcome = appender.append(append()).await?;
        anyhow::ensure!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
        latencies.saturating_record(started.elapsed().as_micros() as u64);
    }
    Ok(latencies)
}

fn append() -> Append {
    let command_id = Uuid::now_v7();
    let metadata = RawJson::of(&Metadata {
        actor: "bench".into(),
        command_id,
        correlation_id: command_id.to_string(),
        causation_id: None,
        traceparent: None,
    });
    Append {
        command_id,
        command_type: "order.create".into(),
        principal: "bench".into(),
        idempotency_key: None,
        fingerprint: vec![0; 32],
        correlation_id: command_id.to_string(),
        stream: StreamId { stream_type: "order".into(), id: Uuid::now_v7() },
        expected: Expected::NoStream,
        events: vec![NewEvent {
            event_id: Uuid::now_v7(),
            event_type: "order.created".into(),
            schema_version: 1,
            data: RawJson::trusted(DATA),
            metadata,
        }],
        claims: vec![],
        status: Status::Done,
        answer: RawJson::trusted(r#"{"status":"created"}"#),
    }
}
