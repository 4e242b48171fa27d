//! Partitions that a consumer is given and does not get to read.
//!
//! Usually Kafka cannot serve them at the moment. But a consumer may never read one again: a topic that was made anew counts its leaders'
//! epochs from 0, and librdkafka (2.12) takes what it is told of them for outdated where it has seen higher ones, whatever the topic's
//! id. It then knows no leader, or asks as of an epoch that the broker does not know, and says nothing. Only another consumer gets over
//! that.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    statistics::Partition,
};

use super::Quiet;

/// Between two looks at what a consumer knows.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A consumer's context that sees whether all its partitions are read.
#[derive(Debug, Default)]
pub struct Unread {
    since: Mutex<Option<Instant>>,
}

impl Unread {
    /// A consumer that is watched so, while it is polled.
    pub fn watched(mut consumer: ClientConfig) -> KafkaResult<BaseConsumer<Self>> {
        consumer
            .set("statistics.interval.ms", LOOK_INTERVAL.as_millis().to_string())
            .create_with_context(Self::default())
    }

    /// For how long some partition has not been read; zero where all are.
    pub fn lasts(&self) -> Duration {
        self.since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Whether it has no leader that the consumer knows of, or the last answer was an error or has yet to come: that has no high watermark.
fn is_unread(partition: &Partition) -> bool {
    partition.desired && (partition.leader < 0 || partition.hi_offset < 0)
}

impl ClientContext for Unread {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let is_any_unread = partitions.any(is_unread);
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = is_any_unread.then(|| since.unwrap_or_else(Instant::now));
    }
}

impl ConsumerContext for Unread {}
