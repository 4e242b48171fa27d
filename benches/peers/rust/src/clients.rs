//! Clients that each wait for their answer before they ask again, and what they saw.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// What clients saw.
pub struct Seen {
    /// All answers, those of the warm-up too.
    pub answered: u64,
    /// The time that counts.
    pub elapsed: Duration,
    pub latencies: Histogram<u64>,
}

/// Lets clients ask for so long: first a warm-up that does not count.
pub async fn ask<F>(
    clients: usize,
    (warmup, time): (Duration, Duration),
    once: impl Fn() -> F + Clone + Send + 'static,
) -> anyhow::Result<Seen>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let running = (0..clients).map(|_| {
        let once = once.clone();
        tokio::spawn(async move {
            let (mut answered, mut latencies) = (0u64, histogram());
            while started.elapsed() < warmup + time {
                let asked = Instant::now();
                once().await?;
                answered += 1;
                if asked.duration_since(started) >= warmup {
                    latencies.saturating_record(asked.elapsed().as_micros() as u64);
                }
            }
            anyhow::Ok((answered, latencies))
        })
    });
    let (mut answered, mut latencies) = (0, histogram());
    for client in try_join_all(running).await? {
        let (more, seen) = client?;
        answered += more;
        latencies.add(seen)?;
    }
    Ok(Seen { answered, elapsed: started.elapsed().saturating_sub(warmup), latencies })
}

impl Seen {
    /// The line of JSON; an error where the database does not hold what was acknowledged.
    pub fn checked(&self, stored: i64, before: u64) -> anyhow::Result<Value> {
        let expected = self.answered + before;
        ensure!(stored as u64 == expected, "{expected} were acknowledged and {stored} are stored");
        Ok(line(self.latencies.len(), self.elapsed, &self.latencies, stored))
    }
}

/// Rate and quantiles.
pub fn line(counted: u64, elapsed: Duration, latencies: &Histogram<u64>, stored: i64) -> Value {
    json!({
        "rate": counted as f64 / elapsed.as_secs_f64(),
        "p50_ms": millis(latencies, 0.5),
        "p99_ms": millis(latencies, 0.99),
        "max_ms": millis(latencies, 1.0),
        "stored": stored,
    })
}

/// Latencies in microseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are valid")
}

/// A quantile in milliseconds.
pub fn millis(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1e3
}
