//! What was measured: lines of a table for people, a JSON object a line for machines.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// How it is told.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Table {
    /// As JSON, for machines: an object a line.
    #[arg(long)]
    json: bool,
}

/// A line. What was not looked at is `None`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) per_second: Option<u64>,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
    pub(super) seconds: Option<f64>,
    /// Resident.
    pub(super) memory_mb: Option<u64>,
}

impl Table {
    /// Says what the next lines are of, and names their columns.
    pub(super) fn begin(self, what: &str) {
        if !self.json {
            let [name, figures @ ..] = [what, "/s", "p50 ms", "p99 ms", "max ms", "seconds", "memory MB"];
            println!("{}", columns(name, figures.map(str::to_owned)));
        }
    }

    pub(super) fn line(self, line: &Line) {
        if self.json {
            println!("{}", serde_json::to_string(line).expect("texts and numbers"));
            return;
        }
        let whole = |number: Option<u64>| number.map_or("-".to_owned(), grouped);
        let part = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
        let Line { what, per_second, p50_ms, p99_ms, max_ms, seconds, memory_mb } = line;
        let [p50, p99, max, seconds] = [*p50_ms, *p99_ms, *max_ms, *seconds].map(part);
        println!("{}", columns(what, [whole(*per_second), p50, p99, max, seconds, whole(*memory_mb)]));
    }
}

impl Line {
    /// So many events in this time.
    pub(super) fn rate(what: impl Into<String>, events: u64, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let per_second = Some((events as f64 / seconds) as u64);
        Self { what: what.into(), per_second, seconds: Some(seconds), ..Self::default() }
    }

    /// With these latencies, in microseconds.
    pub(super) fn latencies(self, seen: &Histogram<u64>) -> Self {
        let [p50, p99, max] =
            [0.5, 0.99, 1.0].map(|quantile| Some(seen.value_at_quantile(quantile) as f64 / 1e3));
        Self { p50_ms: p50, p99_ms: p99, max_ms: max, ..self }
    }
}

fn columns(what: &str, figures: [String; 6]) -> String {
    let [rate, p50, p99, max, seconds, memory] = figures;
    format!("{what:<44}  {rate:>9}  {p50:>7}  {p99:>7}  {max:>7}  {seconds:>8}  {memory:>9}")
}

/// Latencies in microseconds, up to a minute, with three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are valid")
}

/// `1 234 567`: digits in groups, for people.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(" ")
}
