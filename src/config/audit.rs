//! Bounds of what auditors ask.

use std::time::Duration;

use super::Sources;

/// Bounds of the audit.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Events entered into the auditors' index per transaction.
    pub index_batch_events_max: i32,
    /// The slow poll beside notifications.
    pub index_poll_interval: Duration,
    /// How long a question waits for the index to reach the head it found.
    pub index_wait: Duration,
    /// Longest time one question may take.
    pub statement_timeout: Duration,
    /// Event streams served at once by one process; one more is refused as overloaded.
    pub listeners_max: usize,
    /// A comment is sent to a listener so often, which shows both sides that the other is there; and its key is looked at.
    pub heartbeat: Duration,
    /// A listener that takes nothing for so long is cut off.
    pub listener_patience: Duration,
    /// Bytes of events that wait for one listener, at most twice.
    pub listener_bytes_max: usize,
    /// Events read per step by exports, verifications and histories.
    pub batch_events_max: usize,
}

impl Audit {
    pub(super) fn read(from: &mut Sources) -> Self {
        Self {
            index_batch_events_max: from.ranged("audit_index_batch_events_max", 5_000, 1..=100_000),
            index_poll_interval: from.millis("audit_index_poll_interval_ms", 500, 1..=60_000),
            index_wait: from.millis("audit_index_wait_ms", 2_000, 0..=30_000),
            statement_timeout: from.millis("audit_statement_timeout_ms", 10_000, 10..=600_000),
            listeners_max: from.ranged("audit_listeners_max", 100, 1..=100_000),
            heartbeat: from.millis("audit_heartbeat_ms", 15_000, 10..=60_000),
            listener_patience: from.millis("audit_listener_patience_ms", 30_000, 10..=600_000),
            listener_bytes_max: from.ranged("audit_listener_bytes_max", 256 << 10, 1_024..=64 << 20),
            batch_events_max: from.ranged("audit_batch_events_max", 1_000, 1..=100_000),
        }
    }
}
