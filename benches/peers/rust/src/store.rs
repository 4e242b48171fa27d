//! Which store, which workload: the command line that all drivers of stores share, whatever their language.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::bail;
use clap::ValueEnum;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use serde_json::{Value, value::RawValue};
use tokio_postgres::NoTls;

use crate::{copy, insert, message_db, postgres_es, serial};

#[derive(Clone, Copy, ValueEnum)]
pub enum Store {
    MessageDb,
    PostgresEs,
    /// One prepared INSERT of one row per transaction.
    Insert,
    /// Binary COPY: the limit.
    Copy,
    /// A table with a bigserial, and a reader that polls it.
    Serial,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Workload {
    /// Each append is a new stream of one event.
    Append,
    /// Load, decide, append, on aggregates that exist.
    Command,
    /// How many events a live reader misses while writers append.
    Lost,
}

#[derive(clap::Args)]
pub struct Options {
    pub store: Store,
    pub workload: Workload,
    /// The database; the peer's schema is made in it where the driver makes it.
    #[arg(long)]
    pub url: String,
    /// The file with the event's data.
    #[arg(long)]
    pub payload: PathBuf,
    /// Clients that each wait for their answer before they ask again.
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before them that do not count.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Events, where their number is fixed.
    #[arg(long, default_value_t = 20_000)]
    pub events: usize,
    /// Aggregates that commands fall on.
    #[arg(long, default_value_t = 1_000)]
    pub streams: usize,
    /// Events that each of them has at the beginning.
    #[arg(long, default_value_t = 10)]
    pub history: usize,
    /// Connections at most; each client has one of its own up to here.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
}

pub async fn run(options: Options) -> anyhow::Result<Value> {
    match (options.store, options.workload) {
        (Store::MessageDb, Workload::Append) => message_db::append(&options).await,
        (Store::PostgresEs, Workload::Append) => postgres_es::append(&options).await,
        (Store::PostgresEs, Workload::Command) => postgres_es::command(&options).await,
        (Store::Insert, Workload::Append) => insert::append(&options).await,
        (Store::Copy, Workload::Append) => copy::append(&options).await,
        (Store::Serial, Workload::Lost) => serial::lost(&options).await,
        _ => bail!("this store has no such workload"),
    }
}

impl Options {
    pub fn time(&self) -> (Duration, Duration) {
        (Duration::from_secs_f64(self.warmup), Duration::from_secs_f64(self.seconds))
    }

    /// The event's data, as it goes over the wire.
    pub fn data(&self) -> anyhow::Result<Box<RawValue>> {
        Ok(RawValue::from_string(fs::read_to_string(&self.payload)?)?)
    }

    pub fn pool_size(&self) -> usize {
        self.clients.min(self.connections)
    }

    /// Connections that keep their prepared statements and are not asked whether they live.
    pub fn pool(&self, settings: &str) -> anyhow::Result<Pool> {
        pool(&self.url, settings, self.pool_size())
    }
}

/// A pool for any driver here; `settings` as after `-c` on Postgres's command line.
pub fn pool(url: &str, settings: &str, size: usize) -> anyhow::Result<Pool> {
    let mut config: tokio_postgres::Config = url.parse()?;
    config.options(settings);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Ok(Pool::builder(Manager::from_config(config, NoTls, recycling)).max_size(size).build()?)
}
