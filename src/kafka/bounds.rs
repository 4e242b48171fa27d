//! Where partitions begin and end, without a look at what they hold: one request for a whole topic.

use std::ops::Range;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{Quiet, client};
use crate::config;

/// Where each partition of topics, named with their numbers of partitions, begins and ends; records of open transactions
/// count. `None`: there is no such topic. Blocks. `group` names the consumer, which joins none.
pub fn read_bounds(
    kafka: &config::Kafka,
    group: &str,
    topics: &[(&str, i32)],
) -> Result<Vec<Option<Vec<Range<i64>>>>, KafkaError> {
    let consumer: BaseConsumer<Quiet> = client(kafka)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .create_with_context(Quiet)?;
    let read = |(topic, partitions): &(&str, i32)| {
        let Some(begins) = offsets(&consumer, kafka, topic, *partitions, Offset::Beginning)? else {
            return Ok(None);
        };
        let ends = offsets(&consumer, kafka, topic, *partitions, Offset::End)?;
        Ok(ends.map(|ends| begins.into_iter().zip(ends).map(|(begin, end)| begin..end).collect()))
    };
    topics.iter().map(read).collect()
}

fn offsets(
    consumer: &BaseConsumer<Quiet>,
    kafka: &config::Kafka,
    topic: &str,
    partitions: i32,
    of: Offset,
) -> Result<Option<Vec<i64>>, KafkaError> {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    let mut asked = TopicPartitionList::with_capacity(partitions as usize);
    for partition in 0..partitions {
        asked.add_partition_offset(topic, partition, of)?;
    }
    // It takes times. Those that ListOffsets has for the earliest and the latest offset are given in their place.
    let told = consumer.offsets_for_times(asked, kafka.request_timeout).and_then(|told| {
        told.elements()
            .iter()
            .map(|told| match (told.error(), told.offset()) {
                (Ok(()), Offset::Offset(offset)) => Ok(offset),
                (Err(error), _) => Err(error),
                (Ok(()), _) => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
            })
            .collect()
    });
    match told {
        Ok(offsets) => Ok(Some(offsets)),
        Err(error) => match error.rdkafka_error_code() {
            Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition) => Ok(None),
            _ => Err(error),
        },
    }
}
