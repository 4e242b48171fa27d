//! Membership of a projection's group: partitions come with our offsets, and librdkafka's own words go to the debug log.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::{runtime::Handle, time::timeout};
use tracing::{error, info, warn};

use super::{Assigned, locked};
use crate::{
    kafka::Quiet,
    log::Partition,
    postgres,
    projector::{Deps, checkpoint},
};

/// How long the group waits for the checkpoints when partitions are assigned; without them they are read from the start.
const STARTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Membership of the projection's group.
pub(super) struct Group {
    pub(super) deps: Deps,
    pub(super) topic_prefix: String,
    pub(super) projection: String,
    pub(super) assigned: Assigned,
    pub(super) runtime: Handle,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ConsumerContext for Group {
    /// Assigns partitions with our offsets; the default would ask Kafka for its own.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let named = self.named(partitions);
        let outcome = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.set_starts(partitions, &named);
            locked(&self.assigned).extend(named.iter().map(|(partition, _)| partition.clone()));
            // One that was paused when it was taken away would still be.
            consumer.incremental_assign(partitions).and_then(|()| consumer.resume(partitions))
        } else {
            locked(&self.assigned).retain(|partition| !named.iter().any(|(revoked, _)| revoked == partition));
            consumer.incremental_unassign(partitions)
        };
        let assigned = locked(&self.assigned).len();
        match outcome {
            Ok(()) => info!(
                projection = self.projection,
                partitions = assigned,
                "the group shared its partitions out"
            ),
            Err(error) => error!(projection = self.projection, %error, "partitions were not assigned"),
        }
    }
}

impl Group {
    /// The partitions of a list, with their topics.
    fn named(&self, partitions: &TopicPartitionList) -> Vec<(Partition, String)> {
        let prefix = format!("{}.", self.topic_prefix);
        let named = |topic: &str, number: i32| {
            let stream_type = topic.strip_prefix(&prefix).unwrap_or(topic).to_owned();
            (Partition { stream_type, number }, topic.to_owned())
        };
        partitions.elements().iter().map(|element| named(element.topic(), element.partition())).collect()
    }

    fn set_starts(&self, partitions: &mut TopicPartitionList, named: &[(Partition, String)]) {
        let starts = self
            .runtime
            .block_on(timeout(STARTS_TIMEOUT, self.starts()))
            .unwrap_or_else(|_| Ok(HashMap::new()));
        let starts = starts.unwrap_or_else(|error| {
            warn!(projection = self.projection, %error, "no checkpoints; the topics are read from their beginning");
            HashMap::new()
        });
        for (partition, topic) in named {
            let start = starts.get(partition).map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
            if let Err(error) = partitions.set_partition_offset(topic, partition.number, start) {
                warn!(projection = self.projection, topic, %error, "no start for a partition");
            }
        }
    }

    /// Where each partition goes on, as far as its checkpoint speaks of the topic's present incarnation.
    async fn starts(&self) -> Result<HashMap<Partition, i64>, postgres::Error> {
        let stream_types: BTreeMap<_, _> = self.deps.reader.stream_types().await?;
        let stored = checkpoint::read(&self.deps.read, &self.projection, None).await?;
        let known = stored.into_iter().filter_map(|stored| {
            let topic_id = stream_types.get(&stored.partition.stream_type)?.topic_id;
            let offset = stored.next_offset.filter(|_| stored.topic_id == Some(topic_id))?;
            Some((stored.partition, offset))
        });
        Ok(known.collect())
    }
}
