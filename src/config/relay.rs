//! Mode and bounds of the relay.

use std::time::Duration;

use super::Sources;

/// Mode and bounds of the relay.
#[derive(Debug, Clone)]
pub struct Relay {
    pub mode: RelayMode,
    /// How long the lease lasts without renewal; a standby takes over after it. What else the relay asks the log's
    /// database has the same time for its answer.
    pub lease_ttl: Duration,
    /// Events per Kafka transaction.
    pub batch_events_max: usize,
    pub batch_bytes_max: usize,
    /// Longest time for which events gather before the next transaction while cores are short of time.
    pub rest_max: Duration,
    /// The slow poll beside notifications.
    pub poll_interval: Duration,
    /// Between two looks whether the topics still hold what was sent to them.
    pub topics_interval: Duration,
    /// Longest wait between tries while Kafka is away.
    pub backoff_max: Duration,
    /// How long one transaction may take at the broker, and reading one batch of the log, before the relay begins again.
    pub transaction_timeout: Duration,
    /// A batch that is not acknowledged after this time counts as a relay that has stopped, until it is.
    pub stall_timeout: Duration,
}

/// What the relay promises to readers of the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayMode {
    /// Transactions: read-committed readers see every event once.
    ExactlyOnce,
    /// No transactions: faster; after a crash, or an error of Kafka, the last batch can repeat.
    LowLatency,
}

impl Relay {
    pub(super) fn read(from: &mut Sources) -> Self {
        Self {
            mode: from.choice(
                "relay_mode",
                &[("exactly-once", RelayMode::ExactlyOnce), ("low-latency", RelayMode::LowLatency)],
            ),
            lease_ttl: from.millis("relay_lease_ttl_ms", 3_000, 500..=60_000),
            batch_events_max: from.ranged("relay_batch_events_max", 10_000, 1..=100_000),
            batch_bytes_max: from.ranged("relay_batch_bytes_max", 16 << 20, 1_024..=256 << 20),
            rest_max: from.millis("relay_rest_max_ms", 20, 0..=60_000),
            poll_interval: from.millis("relay_poll_interval_ms", 500, 1..=60_000),
            topics_interval: from.millis("relay_topics_interval_ms", 5_000, 100..=600_000),
            backoff_max: from.millis("relay_backoff_max_ms", 5_000, 10..=60_000),
            transaction_timeout: from.seconds("relay_transaction_timeout_seconds", 30, 5..=900),
            stall_timeout: from.millis("relay_stall_timeout_ms", 2_000, 100..=60_000),
        }
    }
}
