//! Appends of new streams through the group commit, by a number of clients that each wait for their answer.

use std::time::Duration;

use super::{Scratch, clients, load, table::Table};
use crate::config::Config;

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
    #[command(flatten)]
    pub table: Table,
}

/// Measures and prints a line per number of clients.
pub async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    let scratch = Scratch::new(&config.databases).await?;
    let snapshot = scratch.connect().await?;
    if options.idle_transaction {
        snapshot.batch_execute(include_str!("hold_snapshot.sql")).await?;
    }
    options.table.begin("append of a new stream");
    for clients in &options.clients {
        let (appender, _) = scratch.appender(&config);
        let append = move || {
            let appender = appender.clone();
            async move { load::appended(&appender, load::order(1)).await }
        };
        let seen = clients::ask(*clients, Duration::from_secs(options.seconds), append).await?;
        options.table.line(&seen.line(format!("{clients} clients")));
    }
    drop(snapshot);
    scratch.drop().await
}
