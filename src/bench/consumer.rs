//! A consumer of committed records that notes when each arrives.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::time::Instant;

use crate::{config, kafka, log::Position};

/// Longest wait for the next record.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Consumer(BaseConsumer<kafka::Quiet>);

impl Consumer {
    /// Takes what comes to a topic from now on. Blocks.
    pub(super) fn at_end(kafka: &config::Kafka, topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let consumer: BaseConsumer<kafka::Quiet> = kafka::client(kafka)
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "5")
            .set("fetch.queue.backoff.ms", "5")
            .create_with_context(kafka::Quiet)?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition, kafka.request_timeout)?;
            assignment.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&assignment)?;
        Ok(Self(consumer))
    }

    /// Takes so many records of events after a position, whose transaction may have become readable only now; when each
    /// arrived. Blocks.
    pub(super) fn read(&self, after: Position, records: usize) -> anyhow::Result<Vec<(Position, Instant)>> {
        let mut arrived = Vec::with_capacity(records);
        let mut deadline = Instant::now() + PATIENCE;
        while arrived.len() < records {
            anyhow::ensure!(Instant::now() < deadline, "nothing arrives any more");
            // Nothing comes of it when what it met was an event of the client itself, too.
            if let Some(message) = self.0.poll(PATIENCE) {
                let at = Instant::now();
                let position = kafka::decode(&message?)?.event.position;
                arrived.extend((position > after).then_some((position, at)));
                deadline = at + PATIENCE;
            }
        }
        Ok(arrived)
    }
}
