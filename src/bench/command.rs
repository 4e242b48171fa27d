//! Commands on aggregates that exist: load → decide → append, through the whole pipeline behind HTTP.

use std::{sync::Arc, time::Duration};

use rand::Rng;
use serde_json::json;
use uuid::Uuid;

use super::{Scratch, clients, load, table::Table};
use crate::{
    command::{Commands, Request},
    config::Config,
    domain,
    log::{CommandLog, Identity, LogReader},
};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Numbers of concurrent clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub clients: Vec<usize>,
    /// Counters that the commands fall on at random; 1 is a hot stream.
    #[arg(long, default_value_t = 10_000)]
    pub streams: usize,
    /// Events that each counter has at the beginning.
    #[arg(long, default_value_t = 10)]
    pub history: usize,
    /// Read each aggregate from the log, every time.
    #[arg(long)]
    pub no_cache: bool,
    /// Seconds per number of clients.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    #[command(flatten)]
    pub table: Table,
}

/// Measures and prints a line per number of clients.
pub async fn run(mut config: Config, options: Options) -> anyhow::Result<()> {
    if options.no_cache {
        config.command.cache_aggregates_max = 0;
    }
    let scratch = Scratch::new(&config.databases).await?;
    let (appender, _) = scratch.appender(&config);
    let counters: Arc<[Uuid]> = load::counters(&appender, options.streams, options.history).await?.into();
    let pool = scratch.pool(&config)?;
    let commands = Commands::new(
        Arc::new(domain::registry()),
        LogReader::new(pool.clone()),
        appender,
        CommandLog::new(pool.clone()),
        Identity::read(&pool).await?,
        config.command,
    );
    options.table.begin("command on a stream that exists");
    for clients in &options.clients {
        let (commands, counters) = (commands.clone(), counters.clone());
        let increment = move || {
            let (commands, id) = (commands.clone(), counters[rand::rng().random_range(0..counters.len())]);
            async move { Ok(commands.execute(increment(id)).await.map(drop)?) }
        };
        let seen = clients::ask(*clients, Duration::from_secs(options.seconds), increment).await?;
        options.table.line(&seen.line(format!("{clients} clients")));
    }
    scratch.drop().await
}

fn increment(id: Uuid) -> Request {
    Request {
        command_id: None,
        command: "counter.increment".into(),
        stream_id: Some(id),
        body: json!({ "by": 1 }),
        sent: None,
        principal: "bench".into(),
        idempotency_key: None,
        correlation_id: "bench".into(),
        causation_id: None,
        traceparent: None,
        if_match: None,
        target: format!("POST /api/counters/{id}/increment"),
    }
}
