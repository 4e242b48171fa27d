//! The same work on logs of different lengths: how fast workers and a rebuild fold, what an append takes, and how much
//! memory is resident after each.
//!
//! Minutes lie between one log and the next, in which a machine may change. So appends take turns with appends to a log that was empty.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Scratch,
    clients::{self, Seen},
    load,
    projection::{self, Running},
    table::{Line, Table, grouped},
};
use crate::{config::Config, log::Appender};

const CLIENTS: usize = 64;
const LANES: u16 = 2;
/// How often each log is appended to.
const TURNS: u32 = 3;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Events in the log, of orders of five events each; in blocks of 5,000.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 10_000_000], value_parser = clap::value_parser!(u64).range(5_000..))]
    pub events: Vec<u64>,
    /// Seconds for which events are appended to each log, in three turns.
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    #[command(flatten)]
    pub table: Table,
}

/// Measures and prints some lines per number of events, each on a log of its own.
pub async fn run(config: Config, options: Options) -> anyhow::Result<()> {
    for events in options.events {
        let scratch = Scratch::new(&config.databases).await?;
        let time = Duration::from_secs(options.seconds);
        let measured = measure(&config, &scratch, events, time, options.table).await;
        scratch.drop().await?;
        measured?;
    }
    Ok(())
}

async fn measure(
    config: &Config,
    scratch: &Scratch,
    events: u64,
    time: Duration,
    table: Table,
) -> anyhow::Result<()> {
    let events = projection::fill(config, scratch, events).await?;
    table.begin(&format!("{} events", grouped(events)));
    let told = |line: Line| table.line(&Line { memory_mb: memory_mb(), ..line });
    let (appender, head) = scratch.appender(config);
    scratch.checkpoint().await?;
    let running = Running::start(config, scratch, head).await?;
    let began = Instant::now();
    running.followed(events).await?;
    told(Line::rate("workers that tail the log, with indexes", events, began.elapsed()));
    let (loaded, _) = running.rebuild(LANES).await?;
    told(Line::rate(format!("rebuild, {LANES} lanes: load and indexes"), events, loaded));
    running.stop().await;
    let other = Scratch::new(&config.databases).await?;
    let seen = append_in_turn(&[appender, other.appender(config).0], scratch, time).await;
    other.drop().await?;
    for (seen, where_to) in seen?.into_iter().zip(["", ", to a log that was empty, in turn"]) {
        told(seen.line(format!("append by {CLIENTS} clients{where_to}")));
    }
    Ok(())
}

/// Appends to each log for so long, a part of it at a time.
async fn append_in_turn(to: &[Appender; 2], scratch: &Scratch, time: Duration) -> anyhow::Result<[Seen; 2]> {
    scratch.checkpoint().await?;
    let mut seen = <[Seen; 2]>::default();
    for _ in 0..TURNS {
        for (appender, seen) in to.iter().zip(&mut seen) {
            let appender = appender.clone();
            let append = move || {
                let appender = appender.clone();
                async move { load::appended(&appender, load::order(1)).await }
            };
            seen.add(clients::ask(CLIENTS, time / TURNS, append).await?)?;
        }
    }
    Ok(seen)
}

/// Resident memory of this process; where /proc tells.
fn memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}
