//! The last committed record of each partition: what Kafka really has, whatever anybody remembers of it.
//!
//! The last offset of a partition is seldom a record: each transaction leaves a control marker behind its records, and
//! aborted records are passed over. So the search starts at the last offset and steps back, each time eight times as far.

use std::collections::BTreeSet;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Message,
};

use super::{Malformed, Quiet, Record, Topic, decode, reader};
use crate::config;

/// How much farther back each further look begins.
const STEP: i64 = 8;

/// The end of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The next record gets this offset or a higher one.
    pub end: i64,
    /// `None`: the partition holds no record (any more).
    pub last: Option<Record>,
}

/// Why the ends of partitions are not known.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("Kafka did not show the end of topic `{0}` in time")]
    Timeout(String),
    #[error("topic `{topic}` is not ours alone: a record of partition {partition} is {error}")]
    Malformed { topic: String, partition: i32, error: Malformed },
}

/// A partition whose last record is looked for.
struct Search {
    partition: i32,
    low: i64,
    high: i64,
    back: i64,
}

/// Reads the tail of each partition of each topic, in their order. Blocks. `group` names the consumer, which joins none.
pub fn read_tails(kafka: &config::Kafka, group: &str, topics: &[Topic]) -> Result<Vec<Vec<Tail>>, TailError> {
    let consumer: BaseConsumer<Quiet> = reader(kafka, group)
        // The end is noticed by an empty fetch.
        .set("fetch.wait.max.ms", "10")
        .create_with_context(Quiet)?;
    topics.iter().map(|topic| read_topic(&consumer, kafka, topic)).collect()
}

fn read_topic(
    consumer: &BaseConsumer<Quiet>,
    kafka: &config::Kafka,
    topic: &Topic,
) -> Result<Vec<Tail>, TailError> {
    let mut tails = Vec::new();
    let mut searches = Vec::new();
    for partition in 0..topic.partitions {
        let (low, high) = consumer.fetch_watermarks(&topic.name, partition, kafka.request_timeout)?;
        tails.push(Tail { end: high, last: None });
        if low < high {
            searches.push(Search { partition, low, high, back: 1 });
        }
    }
    while !searches.is_empty() {
        look(consumer, kafka, topic, &searches, &mut tails)?;
        searches.retain_mut(|search| {
            let goes_on =
                tails[search.partition as usize].last.is_none() && search.back < search.high - search.low;
            search.back *= STEP;
            goes_on
        });
    }
    Ok(tails)
}

/// Reads each partition from where its search stands to its end and keeps the last record.
fn look(
    consumer: &BaseConsumer<Quiet>,
    kafka: &config::Kafka,
    topic: &Topic,
    searches: &[Search],
    tails: &mut [Tail],
) -> Result<(), TailError> {
    let mut assignment = TopicPartitionList::with_capacity(searches.len());
    let mut unread = BTreeSet::new();
    for search in searches {
        let from = search.low.max(search.high - search.back);
        assignment.add_partition_offset(&topic.name, search.partition, Offset::Offset(from))?;
        unread.insert(search.partition);
    }
    consumer.assign(&assignment)?;
    while !unread.is_empty() {
        match consumer.poll(kafka.request_timeout) {
            Some(Ok(message)) => {
                let partition = message.partition();
                let record = decode(&message).map_err(|error| TailError::Malformed {
                    topic: topic.name.clone(),
                    partition,
                    error,
                })?;
                tails[partition as usize].last = Some(record);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(TailError::Timeout(topic.name.clone())),
        }
    }
    Ok(())
}
