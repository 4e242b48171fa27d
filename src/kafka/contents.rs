//! All that a topic holds, each partition in its own order and at its own pace, with bounded memory.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{Quiet, Record, TailError, Topic, decode, reader};
use crate::{config, log::Position};

/// Fetched ahead, all partitions together. librdkafka counts it for each, since each has a queue of its own.
const FETCHED_KILOBYTES_MAX: i32 = 16_384;
/// The least for one of them.
const FETCHED_KILOBYTES_MIN: i32 = 64;
/// Between two questions for a partition's leader.
const LEADER_INTERVAL: Duration = Duration::from_millis(50);

/// A topic's committed records, from its beginning to its end; none where there is no such topic.
pub struct Contents {
    topic: String,
    partitions: Vec<Partition>,
    consumer: Arc<BaseConsumer<Quiet>>,
    kafka: config::Kafka,
}

struct Partition {
    queue: PartitionQueue<Quiet>,
    /// Read, but beyond what was asked for.
    ahead: Option<Record>,
    is_ended: bool,
}

impl Contents {
    /// Begins to read. `group` names the consumer, which joins none. Blocks.
    pub fn open(kafka: &config::Kafka, group: &str, topic: &Topic) -> Result<Self, TailError> {
        let fetched = (FETCHED_KILOBYTES_MAX / topic.partitions.max(1)).max(FETCHED_KILOBYTES_MIN);
        let consumer: BaseConsumer<Quiet> = reader(kafka, group)
            .set("queued.max.messages.kbytes", fetched.to_string())
            .create_with_context(Quiet)?;
        let consumer = Arc::new(consumer);
        let mut assignment = TopicPartitionList::new();
        let mut partitions = Vec::new();
        for partition in 0..topic.partitions {
            let (low, high) = ends(&consumer, kafka, topic, partition)?;
            // Before the assignment, so that nothing gets into the common queue.
            let queue = consumer
                .split_partition_queue(&topic.name, partition)
                .ok_or_else(|| TailError::Timeout(topic.name.clone()))?;
            partitions.push(Partition { queue, ahead: None, is_ended: low == high });
            if low < high {
                assignment.add_partition_offset(&topic.name, partition, Offset::Offset(low))?;
            }
        }
        consumer.assign(&assignment)?;
        Ok(Self { topic: topic.name.clone(), partitions, consumer, kafka: kafka.clone() })
    }

    /// The next record of a partition, if it is at or before `position`. Blocks.
    pub fn next(&mut self, partition: i32, position: Position) -> Result<Option<Record>, TailError> {
        // Serves the client's callbacks.
        self.consumer.poll(Duration::ZERO);
        let from = &mut self.partitions[partition as usize];
        if from.ahead.is_none() && !from.is_ended {
            match from.queue.poll(self.kafka.request_timeout) {
                Some(Ok(message)) => {
                    let record = decode(&message).map_err(|error| TailError::Malformed {
                        topic: self.topic.clone(),
                        partition,
                        error,
                    })?;
                    from.ahead = Some(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => from.is_ended = true,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(TailError::Timeout(self.topic.clone())),
            }
        }
        Ok(from.ahead.take_if(|record| record.event.position <= position))
    }
}

/// The first offset of a partition and the one after its last. A broker that has only just become a partition's leader
/// may not know it yet.
fn ends(
    consumer: &BaseConsumer<Quiet>,
    kafka: &config::Kafka,
    topic: &Topic,
    partition: i32,
) -> Result<(i64, i64), KafkaError> {
    use RDKafkaErrorCode::{
        LeaderNotAvailable, NotLeaderForPartition, UnknownPartition, UnknownTopic, UnknownTopicOrPartition,
    };
    let deadline = Instant::now() + kafka.request_timeout;
    loop {
        match consumer.fetch_watermarks(&topic.name, partition, kafka.request_timeout) {
            Err(KafkaError::MetadataFetch(UnknownPartition | UnknownTopic | UnknownTopicOrPartition)) => {
                return Ok((0, 0));
            }
            Err(KafkaError::MetadataFetch(LeaderNotAvailable | NotLeaderForPartition))
                if Instant::now() < deadline =>
            {
                thread::sleep(LEADER_INTERVAL);
            }
            ends => return ends,
        }
    }
}
