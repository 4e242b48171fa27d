//! Latencies and rates as lines of text.

use std::time::Duration;

use hdrhistogram::Histogram;

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

/// A quantile in milliseconds.
pub(super) fn millis(latencies: &Histogram<u64>, quantile: f64) -> String {
    format!("{:.2}", Duration::from_micros(latencies.value_at_quantile(quantile)).as_secs_f64() * 1e3)
}
