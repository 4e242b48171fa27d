//! Clients that each wait for their answer before they ask again.

use std::time::Duration;

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::table::{Line, histogram};

/// Connections are made and statements prepared before it counts.
const WARMUP: Duration = Duration::from_secs(1);

/// What clients saw.
pub(super) struct Seen {
    elapsed: Duration,
    latencies: Histogram<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { elapsed: Duration::ZERO, latencies: histogram() }
    }
}

impl Seen {
    /// What was seen another time, too.
    pub(super) fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.elapsed += other.elapsed;
        self.latencies.add(other.latencies)?;
        Ok(())
    }

    /// Answers per second, and how long they took.
    pub(super) fn line(&self, what: String) -> Line {
        Line::rate(what, self.latencies.len(), self.elapsed).latencies(&self.latencies)
    }
}

/// Lets clients ask for so long, after a warm-up that does not count.
pub(super) async fn ask<F>(
    clients: usize,
    time: Duration,
    once: impl Fn() -> F + Clone + Send + 'static,
) -> anyhow::Result<Seen>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let running = (0..clients).map(|_| {
        let once = once.clone();
        tokio::spawn(async move {
            let mut latencies = histogram();
            while started.elapsed() < WARMUP + time {
                let asked = Instant::now();
                once().await?;
                if asked.duration_since(started) >= WARMUP {
                    latencies.saturating_record(asked.elapsed().as_micros() as u64);
                }
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = histogram();
    for client in try_join_all(running).await? {
        latencies.add(client?)?;
    }
    Ok(Seen { elapsed: started.elapsed().saturating_sub(WARMUP), latencies })
}
