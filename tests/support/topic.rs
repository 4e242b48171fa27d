//! What a topic holds, as any consumer that reads committed records sees it.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: String,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text =
            |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("UTF-8");
        let headers = message.headers().expect("a record has headers");
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: text(message.key()),
            value: text(message.payload()),
            headers: headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect(),
        }
    }

    /// A header that is a number.
    pub fn number(&self, header: &str) -> i64 {
        self.headers[header].parse().expect("a number")
    }
}

/// All committed records of a topic, partition by partition; none where there is no such topic. Blocks.
pub fn read(brokers: &str, topic: &str) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("metadata");
    let partitions = metadata.topics()[0].partitions().len();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition as i32, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&all).expect("assigned");
    let (mut seen, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        match consumer.poll(TIMEOUT).expect("the topic is read in time") {
            Ok(message) => seen.push(Seen::of(&message)),
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

/// Checks what every topic promises: per partition positions grow and each names its predecessor, per key versions are
/// 1, 2, 3 …
pub fn assert_in_order(records: &[Seen]) {
    let mut last_positions = BTreeMap::new();
    let mut last_versions = BTreeMap::new();
    for record in records {
        let before = last_positions.insert(record.partition, record.number("ce_position")).unwrap_or(0);
        assert_eq!(record.number("ce_prevposition"), before, "{record:?}");
        assert!(record.number("ce_position") > before, "{record:?}");
        let version = last_versions.entry(record.key.clone()).or_insert(0);
        *version += 1;
        assert_eq!(record.number("ce_streamversion"), *version, "{record:?}");
    }
}
