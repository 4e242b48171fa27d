//! Bounds of the command pipeline, of what works for it in the background, and of the command topic.

use std::time::Duration;

use super::Sources;

/// As long as a principal may be in the log.
const PRINCIPAL_BYTES_MAX: usize = 512;

/// Bounds of the command pipeline.
#[derive(Debug, Clone)]
pub struct Command {
    /// How often a command that met a conflict is decided again.
    pub retries_max: usize,
    /// Aggregates kept in memory, by count; 0 switches the cache off.
    pub cache_aggregates_max: usize,
    /// Events between two snapshots of an aggregate; 0 takes and uses none.
    pub snapshot_events: i64,
    /// Events read per round trip when an aggregate is rebuilt.
    pub load_events_max: usize,
    /// How long the log's database may take for an answer, appends apart.
    pub database_timeout: Duration,
    /// Accepted commands carried out at once by one process.
    pub background_concurrency: usize,
    /// How often an accepted command is tried before it is given up.
    pub background_attempts_max: i32,
    /// How long an accepted command that was taken is left to its taker.
    pub background_lease: Duration,
    /// The slow poll for commands that other processes accepted.
    pub background_poll_interval: Duration,
    /// How long answered commands, and with them idempotency keys, are kept.
    pub keep: Duration,
    /// Wait between two rounds of cleaning.
    pub clean_interval: Duration,
    /// Rows deleted per step of cleaning.
    pub clean_rows_max: i32,
}

/// Who the commands of the Kafka topic count for, and its bounds.
#[derive(Debug, Clone)]
pub struct CommandTopic {
    /// The actor of every command that comes by the topic; `None` switches it off.
    pub principal: Option<String>,
    /// Records carried out, answered and committed together.
    pub batch_records_max: usize,
    /// Records carried out at once; those of one key go one after the other.
    pub concurrency: usize,
    /// A process silent this long loses its partitions to others.
    pub session_timeout: Duration,
    /// Longest wait between tries while the log or Kafka is away.
    pub backoff_max: Duration,
}

/// Takes the settings of the pipeline.
pub(super) fn command(from: &mut Sources) -> Command {
    Command {
        retries_max: from.ranged("command_retries_max", 16, 0..=1_000),
        cache_aggregates_max: from.ranged("command_cache_aggregates_max", 100_000, 0..=10_000_000),
        snapshot_events: from.ranged("command_snapshot_events", 0, 0..=1_000_000),
        load_events_max: from.ranged("command_load_events_max", 1_000, 1..=100_000),
        database_timeout: from.millis("command_database_timeout_ms", 30_000, 100..=600_000),
        background_concurrency: from.ranged("command_background_concurrency", 64, 1..=10_000),
        background_attempts_max: from.ranged("command_background_attempts_max", 10, 1..=1_000),
        background_lease: from.millis("command_background_lease_ms", 10_000, 100..=600_000),
        background_poll_interval: from.millis("command_background_poll_interval_ms", 500, 1..=60_000),
        keep: from.seconds("command_keep_seconds", 7 * 24 * 3_600, 1..=3_650 * 24 * 3_600),
        clean_interval: from.millis("command_clean_interval_ms", 60_000, 10..=86_400_000),
        clean_rows_max: from.ranged("command_clean_rows_max", 1_000, 1..=100_000),
    }
}

/// Takes the settings of the command topic.
pub(super) fn topic(from: &mut Sources) -> CommandTopic {
    let principal: Option<String> = from.optional("command_topic_principal");
    if principal.as_ref().is_some_and(|principal| principal.len() > PRINCIPAL_BYTES_MAX) {
        from.fault("command_topic_principal", format!("at most {PRINCIPAL_BYTES_MAX} bytes"));
    }
    CommandTopic {
        principal,
        batch_records_max: from.ranged("command_topic_batch_records_max", 500, 1..=10_000),
        concurrency: from.ranged("command_topic_concurrency", 64, 1..=10_000),
        session_timeout: from.millis("command_topic_session_timeout_ms", 10_000, 6_000..=300_000),
        backoff_max: from.millis("command_topic_backoff_max_ms", 5_000, 10..=60_000),
    }
}
