//! Bounds of the HTTP side.

use std::{num::NonZeroU32, time::Duration};

use super::Sources;

/// What connections, requests and callers may take up.
#[derive(Debug, Clone)]
pub struct Api {
    /// A connection has so long, from its beginning or from its last answer, until the next request's head is whole.
    pub head_timeout: Duration,
    /// A client that takes nothing of its answer for so long is cut off.
    pub write_timeout: Duration,
    /// How long a key that was looked up is believed: what a revocation may take to be felt everywhere.
    pub key_memory: Duration,
    pub rates: Rates,
    /// Connections held at once; more wait with the kernel, unanswered.
    pub connections_max: usize,
    /// Longest path and query.
    pub url_bytes_max: usize,
    /// All headers of a request, names and values.
    pub header_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request may take to its answer's beginning. What an answer streams has bounds of its own.
    pub request_timeout: Duration,
}

/// How often callers may come, in each process. Off in the mode `dev`.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Requests per second of one principal; a burst may have as many. `None`: no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Failing authentications per minute of one address; a burst may have as many. `None`: no limit.
    pub failures_per_minute: Option<NonZeroU32>,
    /// Principals, and addresses, that are kept in mind; those that were not seen for longest are forgotten.
    pub callers_max: usize,
}

impl Api {
    pub(super) fn read(from: &mut Sources) -> Self {
        Self {
            // Longer than proxies keep idle connections, so that it is they who close them.
            head_timeout: from.millis("api_head_timeout_ms", 75_000, 10..=3_600_000),
            write_timeout: from.millis("api_write_timeout_ms", 30_000, 10..=600_000),
            key_memory: from.millis("api_key_memory_ms", 1_000, 1..=10_000),
            rates: Rates {
                requests_per_second: rate(from, "api_requests_per_second", 1_000),
                failures_per_minute: rate(from, "api_failures_per_minute", 600),
                callers_max: from.ranged("api_rate_callers_max", 10_000, 100..=1_000_000),
            },
            connections_max: from.ranged("api_connections_max", 4_096, 1..=1_000_000),
            url_bytes_max: from.ranged("api_url_bytes_max", 8_192, 512..=65_534),
            header_bytes_max: from.ranged("api_header_bytes_max", 32 << 10, 1_024..=256 << 10),
            body_timeout: from.millis("api_body_timeout_ms", 30_000, 10..=600_000),
            // Longer than the longest wait that a read may ask for.
            request_timeout: from.millis("api_request_timeout_ms", 60_000, 10..=600_000),
        }
    }
}

/// A rate; 0 is none.
fn rate(from: &mut Sources, name: &'static str, default: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(from.ranged(name, default, 0..=1_000_000))
}
