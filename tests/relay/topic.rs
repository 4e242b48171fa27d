//! A topic as tests look at it and tamper with it.

#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of it")]

use std::{collections::BTreeMap, time::Duration};

use annals::{
    kafka::{self, Record},
    log::Metadata,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers, Message},
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::task::spawn_blocking;

use crate::support::{self, DEADLINE};

/// Key, value and headers of a record.
pub(crate) type Raw = (String, String, BTreeMap<String, String>);

#[derive(Clone)]
pub(crate) struct Topic {
    brokers: String,
    name: String,
    partitions: i32,
}

/// A transaction that nobody has committed yet.
pub(crate) struct OpenTransaction(BaseProducer);

impl Topic {
    pub(crate) fn new(brokers: String, name: String, partitions: i32) -> Self {
        Self { brokers, name, partitions }
    }

    /// The committed records, by partition.
    pub(crate) async fn read(&self) -> BTreeMap<i32, Vec<Record>> {
        let mut records: BTreeMap<i32, Vec<Record>> =
            (0..self.partitions).map(|partition| (partition, vec![])).collect();
        let read =
            self.consume(|message| (message.partition(), kafka::decode(message).expect("one of ours"))).await;
        for (partition, record) in read {
            records.entry(partition).or_default().push(record);
        }
        records
    }

    /// The committed records as any consumer sees them.
    pub(crate) async fn raw(&self) -> Vec<Raw> {
        self.consume(|message| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            let headers = message.headers().expect("headers").iter();
            let headers = headers.map(|header| (header.key.to_owned(), text(header.value.expect("a value"))));
            (
                text(message.key().expect("a key")),
                text(message.payload().expect("a value")),
                headers.collect(),
            )
        })
        .await
    }

    async fn consume<T: Send + 'static>(
        &self,
        take: impl Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
    ) -> Vec<T> {
        let topic = self.clone();
        spawn_blocking(move || {
            let consumer: BaseConsumer = topic
                .client()
                .set("group.id", "test")
                .set("enable.partition.eof", "true")
                .set("isolation.level", "read_committed")
                .create()
                .expect("a consumer");
            let mut assignment = TopicPartitionList::new();
            for partition in 0..topic.partitions {
                assignment
                    .add_partition_offset(&topic.name, partition, Offset::Beginning)
                    .expect("an offset");
            }
            consumer.assign(&assignment).expect("assigned");
            let (mut taken, mut ended) = (Vec::new(), 0);
            while ended < topic.partitions {
                match consumer.poll(DEADLINE).expect("Kafka answers") {
                    Ok(message) => taken.push(take(&message)),
                    Err(KafkaError::PartitionEOF(_)) => ended += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            taken
        })
        .await
        .expect("read")
    }

    pub(crate) async fn create(&self) {
        self.create_with(&[]).await;
    }

    pub(crate) async fn create_with(&self, settings: &[(&str, &str)]) {
        let admin = self.admin();
        let topic = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", "2000000")
            .set("retention.ms", "-1");
        let topic = settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        // Kafka goes on deleting a topic of this name for a while.
        support::until("the topic can be made", || async {
            let created = admin.create_topics([&topic], &options()).await.expect("Kafka answers");
            created[0].is_ok()
        })
        .await;
    }

    pub(crate) async fn exists(&self) -> bool {
        let admin = self.admin();
        let shown =
            spawn_blocking(move || admin.inner().fetch_metadata(None, DEADLINE)).await.expect("joined");
        shown.expect("Kafka answers").topics().iter().any(|topic| topic.name() == self.name)
    }

    /// Deletes all records, as retention does; the topic goes on behind them.
    pub(crate) async fn empty(&self) {
        let mut ends = TopicPartitionList::new();
        for partition in 0..self.partitions {
            ends.add_partition_offset(&self.name, partition, Offset::End).expect("an offset");
        }
        self.admin().delete_records(&ends, &options()).await.expect("Kafka deletes them");
    }

    /// How many transactions have ended in each partition, where none was aborted: each left a marker behind its records.
    pub(crate) async fn transactions(&self) -> BTreeMap<i32, i64> {
        let records = self.read().await;
        let topic = self.clone();
        spawn_blocking(move || {
            let asking: BaseConsumer = topic.client().create().expect("a consumer");
            let end =
                |partition| asking.fetch_watermarks(&topic.name, partition, DEADLINE).expect("an end").1;
            records.iter().map(|(partition, all)| (*partition, end(*partition) - all.len() as i64)).collect()
        })
        .await
        .expect("asked")
    }

    /// What was set for this topic itself.
    pub(crate) async fn settings(&self) -> BTreeMap<String, String> {
        let admin = self.admin();
        let described = admin.describe_configs([&ResourceSpecifier::Topic(&self.name)], &options()).await;
        let described = described.expect("Kafka answers").remove(0).expect("the topic is there");
        let own = described.entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        own.filter_map(|entry| Some((entry.name, entry.value?))).collect()
    }

    pub(crate) async fn delete(&self) {
        let deleted = self.admin().delete_topics(&[&self.name], &options()).await.expect("Kafka answers");
        assert!(deleted[0].is_ok(), "{deleted:?}");
    }

    /// Writes copies of records.
    pub(crate) async fn write(&self, partition: i32, records: impl Iterator<Item = &Record>) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        for record in records {
            self.send(&producer, partition, record);
        }
        spawn_blocking(move || producer.flush(DEADLINE)).await.expect("joined").expect("written");
    }

    /// Begins a transaction as the producer with this id, and writes copies of records in it.
    pub(crate) async fn begin_as(&self, transactional_id: &str, records: &[Record]) -> OpenTransaction {
        let producer: BaseProducer =
            self.client().set("transactional.id", transactional_id).create().expect("a producer");
        let producer = spawn_blocking(move || {
            producer.init_transactions(DEADLINE).expect("initialised");
            producer
        })
        .await
        .expect("joined");
        producer.begin_transaction().expect("begun");
        for record in records {
            self.send(&producer, 0, record);
        }
        spawn_blocking(move || {
            producer.flush(DEADLINE).expect("written");
            OpenTransaction(producer)
        })
        .await
        .expect("joined")
    }

    fn send(&self, producer: &BaseProducer, partition: i32, record: &Record) {
        let metadata: Metadata = record.event.metadata.parse().expect("metadata");
        let headers = kafka::headers(&record.event, &metadata, &record.source, record.previous);
        let key = record.event.stream_id.to_string();
        let copy = BaseRecord::to(&self.name)
            .partition(partition)
            .key(&key)
            .payload(record.event.data.as_str())
            .headers(headers);
        producer.send(copy).map_err(|(error, _)| error).expect("queued");
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }
}

impl OpenTransaction {
    pub(crate) async fn commit(self) -> Result<(), KafkaError> {
        spawn_blocking(move || self.0.commit_transaction(DEADLINE)).await.expect("joined")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))
}
