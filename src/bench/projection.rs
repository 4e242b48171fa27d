//! Folding the whole log into the read model of the orders: by the workers, by rebuilds, one statement per event, and by
//! one statement over the whole log, which is the limit. And how soon live orders can be read, beside a rebuild too. All in
//! one run, since machines are noisy.

mod beside;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use deadpool_postgres::Pool;
use secrecy::SecretString;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, Statement, Transaction, types::ToSql};
use tokio_util::sync::CancellationToken;

use super::{
    Scratch,
    table::{Line, Table, grouped},
};
use crate::{
    config::{Config, Databases},
    domain,
    log::{Event, Identity, LogReader, Position},
    postgres,
    projector::{self, Deps, Folder, Progress},
    read_model::ReadModels,
    rebuild::{self, Options as RebuildOptions, State, Swap},
    trace::Spans,
};

const LOG: &str = include_str!("projection/log.sql");
const STREAM_TYPE: &str = include_str!("projection/stream_type.sql");
const VACUUM: &str = include_str!("projection/vacuum.sql");
const TABLES: &str = include_str!("projection/tables.sql");
const CREATED: &str = include_str!("projection/created.sql");
const AGAIN: &str = include_str!("projection/again.sql");
const HANDLED: &str = include_str!("projection/handled.sql");
const LATER: &str = include_str!("projection/later.sql");
const AT_ONCE: &str = include_str!("projection/at_once.sql");
const INDEXES: &str = include_str!("projection/indexes.sql");
const UNLIKE: &str = include_str!("projection/unlike.sql");

const EVENTS_PER_ORDER: u64 = 5;
const POLL: Duration = Duration::from_millis(20);
/// Events that the naive way reads at once.
const NAIVE_PAGE: usize = 1_000;
/// The part of those that is handled with a commit for each, which is slower still.
const COMMITTED_SHARE: u64 = 10;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Orders in the log, of five events each; in thousands.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub orders: u64,
    /// Events of the naive way, which is slow.
    #[arg(long, default_value_t = 100_000)]
    pub one_by_one: u64,
    /// Live orders per second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    #[command(flatten)]
    pub table: Table,
}

/// Measures and prints a line per way.
pub async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let scratch = Scratch::new(&config.databases).await?;
    let measured = measure(&config, &options, &scratch).await;
    scratch.drop().await?;
    measured
}

async fn measure(config: &Config, options: &Options, scratch: &Scratch) -> anyhow::Result<()> {
    let events = fill(config, scratch, options.orders * EVENTS_PER_ORDER).await?;
    let mut client = scratch.connect().await?;
    let orders = grouped(events / EVENTS_PER_ORDER);
    let table = options.table;
    table.begin(&format!("{} events of {orders} orders", grouped(events)));
    let (appender, head) = scratch.appender(config);
    let running = Running::start(config, scratch, head).await?;
    let began = Instant::now();
    running.followed(events).await?;
    table.line(&Line::rate("workers that tail the log, with indexes", events, began.elapsed()));
    for workers in [1, 2] {
        let (loaded, whole) = running.rebuild(workers).await?;
        table.line(&Line::rate(format!("rebuild, {workers} lanes: load and indexes"), events, loaded));
        table.line(&Line::rate(format!("rebuild, {workers} lanes: compared too"), events, whole));
    }
    beside::measure(&running, &appender, options.rate, table).await?;
    let log = LogReader::new(running.read.clone());
    running.stop().await;
    client.batch_execute(TABLES).await?;
    let sample = options.one_by_one.min(events);
    let elapsed = one_by_one(&log, &mut client, sample, NAIVE_PAGE).await?;
    table.line(&Line::rate("one statement per event (sample)", sample, elapsed));
    client.batch_execute(AGAIN).await?;
    let sample = sample / COMMITTED_SHARE;
    let elapsed = one_by_one(&log, &mut client, sample, 1).await?;
    table.line(&Line::rate("one statement and commit per event (sample)", sample, elapsed));
    let began = Instant::now();
    client.execute(AT_ONCE, &[]).await?;
    client.batch_execute(INDEXES).await?;
    table.line(&Line::rate("one hand-written insert … select and indexes", events, began.elapsed()));
    let unlike: i64 = client.query_one(UNLIKE, &[]).await?.get(0);
    ensure!(unlike == 0, "{unlike} rows are not what the hand-written statement says");
    Ok(())
}

/// Fills a log with so many events, in blocks of 1,000 orders; returns how many they are.
pub(super) async fn fill(config: &Config, scratch: &Scratch, events: u64) -> anyhow::Result<u64> {
    let orders = events / EVENTS_PER_ORDER / 1_000 * 1_000;
    let owner = postgres::owner_session(&scratch.url, config.databases.tcp_user_timeout).await?;
    owner.execute(STREAM_TYPE, &[&8i32]).await?;
    owner.execute(LOG, &[&(orders as i64)]).await?;
    scratch.connect().await?.batch_execute(VACUUM).await?;
    Ok(orders * EVENTS_PER_ORDER)
}

/// As most frameworks do it: events are read in pages, each is handled in the process by a statement of its own, and how
/// far they are handled is noted with each transaction, of `at_once` events.
async fn one_by_one(
    log: &LogReader,
    client: &mut Client,
    events: u64,
    at_once: usize,
) -> anyhow::Result<Duration> {
    let (created, later) = (client.prepare(CREATED).await?, client.prepare(LATER).await?);
    let handled = client.prepare(HANDLED).await?;
    let (began, mut at) = (Instant::now(), 0);
    while at < events {
        let page = NAIVE_PAGE.min((events - at) as usize);
        let page = log.after(Position(at as i64), None, page, usize::MAX).await?;
        for part in page.chunks(at_once) {
            let transaction = client.transaction().await?;
            for event in part {
                handle(&transaction, &created, &later, event).await?;
            }
            at += part.len() as u64;
            transaction.execute(&handled, &[&(at as i64)]).await?;
            transaction.commit().await?;
        }
    }
    Ok(began.elapsed())
}

/// What an event changes, by a statement of its own.
async fn handle(
    transaction: &Transaction<'_>,
    created: &Statement,
    later: &Statement,
    event: &Event,
) -> anyhow::Result<()> {
    let Event { position, event_type, stream_id, version, data, recorded_at, .. } = event;
    let data: Value = data.parse()?;
    let number = |name: &str| data.get(name).map(Value::to_string);
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let id_first: &(dyn ToSql + Sync) = stream_id;
    let rows = if event_type == "order.created" {
        let (customer, total, external) = (text("customer_id"), number("total"), text("external_id"));
        let values = [id_first, &customer, &total, &data["items"], &external, recorded_at, &version.0];
        transaction.execute(created, &values).await?
    } else {
        let (status, amount) = (event_type.trim_start_matches("order."), number("amount"));
        let values = [id_first, &status, &amount, recorded_at, &version.0];
        transaction.execute(later, &values).await?
    };
    ensure!(rows == 1, "{rows} rows by the event at {position}");
    Ok(())
}

/// Projectors of one read model on the scratch database.
pub(super) struct Running {
    read: Pool,
    /// For readers of the same process.
    models: ReadModels,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(super) async fn start(
        config: &Config,
        scratch: &Scratch,
        head: watch::Receiver<Position>,
    ) -> anyhow::Result<Self> {
        let url: SecretString = scratch.url.clone();
        let databases = Databases { reader: url.clone(), read_models: None, ..config.databases.clone() };
        let read = postgres::pool(&url, &databases)?;
        let (log, progress) = (LogReader::new(read.clone()), Progress::new(["orders"]));
        let models = ReadModels::new(&databases, log.clone(), None, progress.clone(), config.reads.clone())?;
        let folder = Folder::load(&config.projections_dir.join("orders"))
            .map_err(|faults| anyhow::anyhow!("{faults:?}"))
            .context("the folder of the orders")?;
        let deps = Deps {
            reader: log,
            read: read.clone(),
            registry: Arc::new(domain::registry()),
            log_id: Identity::read(&read).await?.log_id,
            head,
            progress,
            spans: Spans::default(),
        };
        let mut limits = config.projector.clone();
        limits.poll_interval = POLL;
        let shutdown = CancellationToken::new();
        let folders = vec![folder];
        let rebuilding = rebuild::run(deps.clone(), folders.clone(), limits.clone(), shutdown.clone());
        let folding = projector::run(deps, folders, None, limits, shutdown.clone());
        let task = tokio::spawn(async {
            tokio::join!(rebuilding, folding);
        });
        Ok(Self { read, models, shutdown, task })
    }

    /// Waits until the workers have folded everything.
    pub(super) async fn followed(&self, events: u64) -> anyhow::Result<()> {
        loop {
            let known = projector::overview(&self.read, Some("orders")).await?;
            if known.first().is_some_and(|known| known.applied.unsigned_abs() >= events) {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// A rebuild that is compared and dropped: how long until it was loaded, and until it was compared.
    pub(super) async fn rebuild(&self, workers: u16) -> anyhow::Result<(Duration, Duration)> {
        let options = RebuildOptions { workers, max_events_per_second: None, swap: Swap::Never };
        let began = Instant::now();
        let begun = rebuild::start(&self.read, uuid::Uuid::now_v7(), "orders", None, options).await?;
        let mut loaded = None;
        loop {
            let now = rebuild::get(&self.read, begun.id).await?;
            if now.state != State::Running {
                loaded.get_or_insert(began.elapsed());
            }
            if let (true, Some(loaded)) = (now.state.is_final(), loaded) {
                ensure!(now.state == State::Done && now.difference().is_none(), "{now:?}");
                return Ok((loaded, began.elapsed()));
            }
            sleep(POLL).await;
        }
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        // It panicked, or ended as it was asked to; what was measured stands either way.
        let _ = self.task.await;
    }
}
