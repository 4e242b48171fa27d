//! Bounds of the HTTP side.

use std::{num::NonZeroU32, time::Duration};

use super::Sources;

/// What connections, requests and callers may take up.
#[derive(Debug, Clone)]
pub struct Api {
    /// A connection that is silent this long is closed.
    pub idle_timeout: Duration,
    /// How long a key that was looked up is believed: what a revocation may take to be felt everywhere.
    pub key_memory: Duration,
    pub rates: Rates,
}

/// How often callers may come, in each process. Off in the mode `dev`.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Requests per second of one principal; as many may come at once. `None`: no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Failing authentications per minute of one address; as many may come at once. `None`: no limit.
    pub failures_per_minute: Option<NonZeroU32>,
    /// Principals, and addresses, that are kept in mind; those that were not seen for longest are forgotten.
    pub callers_max: usize,
}

impl Api {
    pub(super) fn read(from: &mut Sources) -> Self {
        Self {
            idle_timeout: from.seconds("api_idle_timeout_seconds", 75, 1..=3_600),
            key_memory: from.millis("api_key_memory_ms", 1_000, 1..=10_000),
            rates: Rates {
                requests_per_second: rate(from, "api_requests_per_second", 1_000),
                failures_per_minute: rate(from, "api_failures_per_minute", 600),
                callers_max: from.ranged("api_rate_callers_max", 10_000, 100..=1_000_000),
            },
        }
    }
}

/// A rate; 0 is none.
fn rate(from: &mut Sources, name: &'static str, default: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(from.ranged(name, default, 0..=1_000_000))
}
