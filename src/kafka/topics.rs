//! Topics: made by us when they are first needed, and checked before they are used.
//!
//! The number of partitions is the log's, never the broker's default: keys must stay where they are. A topic that is
//! there but differs is refused, never changed: what its owner meant by it is not ours to guess.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, ConfigSource, NewTopic, OwnedResourceSpecifier,
        ResourceSpecifier, TopicReplication,
    },
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::{Quiet, Refused, client, knock};
use crate::config;

/// A topic may hold the whole history: a consumer that joins late, and a read model built from the topic, need it all.
const FOR_EVER: &str = "-1";
const RETENTION: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const CLEANUP: &str = "cleanup.policy";
const RECORD_BYTES: &str = "max.message.bytes";
const TIMESTAMPS: &str = "message.timestamp.type";
/// Between two looks whether the brokers show a new topic.
const SHOW_INTERVAL: Duration = Duration::from_millis(10);

/// A topic as the log wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
}

/// Why topics cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("topic `{topic}` could not be made: {code}")]
    Create { topic: String, code: RDKafkaErrorCode },
    #[error("topic `{topic}` could not be deleted: {code}")]
    Delete { topic: String, code: RDKafkaErrorCode },
    #[error("topic `{0}` was deleted, but a broker still shows it")]
    StillShown(String),
    #[error("topic `{0}` was made, but no broker shows it yet")]
    NotShown(String),
    #[error(
        "topic `{topic}` has {found} partitions, the log fixed {wanted} at the first event of its stream type: keys \
         would move. Delete the topic (it is made again from the log), or use another topic prefix"
    )]
    Partitions { topic: String, found: i32, wanted: i32 },
    #[error(
        "topic `{topic}` takes records of {found} bytes, events may have {wanted} with their headers: set its \
         {RECORD_BYTES} to {wanted} or more, or lower the limit of events"
    )]
    RecordBytes { topic: String, found: usize, wanted: usize },
    #[error(
        "topic `{0}` is compacted, and would keep the last event of each stream alone: set its {CLEANUP} to delete, and compare \
         it with the log (`annals relay reconcile`)"
    )]
    Compacted(String),
}

/// What a topic of events is made with.
fn usual_settings(kafka: &config::Kafka) -> [(&'static str, String); 4] {
    [
        (CLEANUP, "delete".to_owned()),
        (RETENTION, FOR_EVER.to_owned()),
        (RETENTION_BYTES, FOR_EVER.to_owned()),
        (RECORD_BYTES, kafka.record_bytes_max.to_string()),
    ]
}

/// Makes the topics that are missing and checks all of them. Blocks; to be called within a runtime.
pub fn ensure_topics(kafka: &config::Kafka, topics: &[Topic]) -> Result<(), TopicError> {
    let admin: AdminClient<Quiet> = client(kafka).create_with_context(Quiet)?;
    let found = metadata(&admin, kafka)?;
    let missing: Vec<&Topic> =
        topics.iter().filter(|topic| partitions(&found, &topic.name).is_none()).collect();
    if !missing.is_empty() {
        let settings = usual_settings(kafka);
        let settings = settings.each_ref().map(|(setting, value)| (*setting, &**value));
        create(&admin, kafka, &missing, &settings)?;
        wait_until_shown(&admin, kafka, &missing)?;
    }
    let found = metadata(&admin, kafka)?;
    for Topic { name, partitions: wanted } in topics {
        let found = partitions(&found, name).ok_or_else(|| TopicError::NotShown(name.clone()))?;
        if found != *wanted {
            return Err(TopicError::Partitions { topic: name.clone(), found, wanted: *wanted });
        }
    }
    check_settings(&admin, kafka, topics)
}

/// Makes those topics that are missing, for messages that matter for a time only: kept as long as the broker's default
/// says, stamped with the broker's own time. Those that are there are taken as they are. Blocks; to be called within a
/// runtime.
pub fn ensure_exchange(kafka: &config::Kafka, names: &[&str]) -> Result<(), TopicError> {
    knock(kafka)?;
    let admin: AdminClient<Quiet> = client(kafka).create_with_context(Quiet)?;
    let found = metadata(&admin, kafka)?;
    let missing: Vec<Topic> = names
        .iter()
        .filter(|name| partitions(&found, name).is_none())
        .map(|name| Topic { name: (*name).to_owned(), partitions: kafka.partitions })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<&Topic> = missing.iter().collect();
    let record_bytes_max = kafka.record_bytes_max.to_string();
    create(&admin, kafka, &missing, &[(TIMESTAMPS, "LogAppendTime"), (RECORD_BYTES, &record_bytes_max)])?;
    wait_until_shown(&admin, kafka, &missing)
}

/// Deletes those topics that are there; returns their names. Blocks until no broker shows them; to be called within a
/// runtime.
pub fn delete_topics(kafka: &config::Kafka, names: &[String]) -> Result<Vec<String>, TopicError> {
    knock(kafka)?;
    let admin: AdminClient<Quiet> = client(kafka).create_with_context(Quiet)?;
    let found = metadata(&admin, kafka)?;
    let there: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| partitions(&found, name).is_some()).collect();
    if there.is_empty() {
        return Ok(vec![]);
    }
    let options = AdminOptions::new().operation_timeout(Some(kafka.request_timeout));
    for deleted in Handle::current().block_on(admin.delete_topics(&there, &options))? {
        match deleted {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((topic, code)) => return Err(TopicError::Delete { topic, code }),
        }
    }
    let deadline = Instant::now() + kafka.request_timeout;
    loop {
        let found = metadata(&admin, kafka)?;
        match there.iter().find(|name| partitions(&found, name).is_some()) {
            None => return Ok(there.into_iter().map(str::to_owned).collect()),
            Some(topic) if Instant::now() > deadline => {
                return Err(TopicError::StillShown((*topic).to_owned()));
            }
            Some(_) => std::thread::sleep(SHOW_INTERVAL),
        }
    }
}

/// Deletes those topics that are there and makes them again, empty, with what their owners had set for them, as far as they can
/// be used so. Blocks; to be called within a runtime.
pub fn make_topics_anew(kafka: &config::Kafka, topics: &[Topic]) -> Result<(), TopicError> {
    let admin: AdminClient<Quiet> = client(kafka).create_with_context(Quiet)?;
    let before = metadata(&admin, kafka)?;
    let there: Vec<&Topic> =
        topics.iter().filter(|topic| partitions(&before, &topic.name).is_some()).collect();
    let names: Vec<String> = there.iter().map(|topic| topic.name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let found = settings(&admin, kafka, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let kept: Vec<Kept> = found
        .into_iter()
        .filter_map(|found| {
            let topic = there.iter().find(|topic| is_of(&found, &topic.name))?;
            Kept::of(kafka, &before, topic, found)
        })
        .collect();
    delete_topics(kafka, &names)?;
    let options = AdminOptions::new().operation_timeout(Some(kafka.request_timeout));
    let deadline = Instant::now() + kafka.request_timeout;
    for kept in &kept {
        loop {
            let mut made = Handle::current().block_on(admin.create_topics([&kept.wanted()], &options))?;
            let Some(Err((topic, code))) = made.pop() else { break };
            // Somebody was faster; or Kafka goes on deleting for a moment.
            if partitions(&metadata(&admin, kafka)?, &topic).is_some() {
                break;
            }
            if Instant::now() > deadline {
                return Err(TopicError::Create { topic, code });
            }
            std::thread::sleep(SHOW_INTERVAL);
        }
    }
    wait_until_shown(&admin, kafka, &kept.iter().map(|kept| &kept.topic).collect::<Vec<_>>())
}

fn is_of(settings: &ConfigResource, topic: &str) -> bool {
    matches!(&settings.specifier, OwnedResourceSpecifier::Topic(name) if name == topic)
}

/// What a topic's owner made of it.
struct Kept {
    topic: Topic,
    replication: i32,
    settings: BTreeMap<String, String>,
}

impl Kept {
    fn of(kafka: &config::Kafka, metadata: &Metadata, topic: &Topic, found: ConfigResource) -> Option<Self> {
        let shown = metadata.topics().iter().find(|shown| shown.name() == topic.name)?;
        let replicas = shown.partitions().iter().map(|partition| partition.replicas().len() as i32);
        let own = found.entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let own = own.filter_map(|entry| Some((entry.name, entry.value?)));
        let is_fit = |(setting, value): &(String, String)| match setting.as_str() {
            RECORD_BYTES => value.parse().is_ok_and(|bytes: usize| bytes >= kafka.record_bytes_max),
            CLEANUP => !value.contains("compact"),
            _ => true,
        };
        let mut settings: BTreeMap<String, String> = own.filter(is_fit).collect();
        for (setting, usual) in usual_settings(kafka) {
            settings.entry(setting.to_owned()).or_insert(usual);
        }
        Some(Self { replication: replicas.max()?, topic: topic.clone(), settings })
    }

    fn wanted(&self) -> NewTopic<'_> {
        let Topic { name, partitions } = &self.topic;
        let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(self.replication));
        self.settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
    }
}

/// All topics' metadata: asking for one by name could make it, with the broker's number of partitions.
fn metadata(admin: &AdminClient<Quiet>, kafka: &config::Kafka) -> Result<Metadata, KafkaError> {
    admin.inner().fetch_metadata(None, kafka.request_timeout)
}

/// The number of partitions, once every one has a leader.
fn partitions(metadata: &Metadata, topic: &str) -> Option<i32> {
    let topic = metadata.topics().iter().find(|found| found.name() == topic)?;
    let partitions = topic.partitions();
    (!partitions.is_empty()).then_some(partitions.len() as i32)
}

fn create(
    admin: &AdminClient<Quiet>,
    kafka: &config::Kafka,
    missing: &[&Topic],
    settings: &[(&str, &str)],
) -> Result<(), TopicError> {
    let wanted: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|topic| {
            let topic =
                NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(kafka.replication));
            settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(kafka.request_timeout))
        .operation_timeout(Some(kafka.request_timeout));
    for created in Handle::current().block_on(admin.create_topics(&wanted, &options))? {
        match created {
            Ok(topic) => info!(topic, "made a topic"),
            // Another process was faster; what it made is checked like any other.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicError::Create { topic, code }),
        }
    }
    Ok(())
}

fn wait_until_shown(
    admin: &AdminClient<Quiet>,
    kafka: &config::Kafka,
    missing: &[&Topic],
) -> Result<(), TopicError> {
    let deadline = Instant::now() + kafka.request_timeout;
    loop {
        let found = metadata(admin, kafka)?;
        match missing.iter().find(|topic| partitions(&found, &topic.name).is_none()) {
            None => return Ok(()),
            Some(topic) if Instant::now() > deadline => return Err(TopicError::NotShown(topic.name.clone())),
            Some(_) => std::thread::sleep(SHOW_INTERVAL),
        }
    }
}

/// Whether a topic is to lose records by itself, as its settings are now; one that is not there is not. Blocks; to be called
/// within a runtime.
pub fn forgets(kafka: &config::Kafka, topic: &str) -> Result<bool, KafkaError> {
    use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
    let admin: AdminClient<Quiet> = client(kafka).create_with_context(Quiet)?;
    match settings(&admin, kafka, &[topic]) {
        Ok(settings) => Ok(settings.iter().any(|settings| limits(settings).next().is_some())),
        Err(KafkaError::AdminOp(UnknownTopic | UnknownTopicOrPartition)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The settings of topics.
fn settings(
    admin: &AdminClient<Quiet>,
    kafka: &config::Kafka,
    topics: &[&str],
) -> Result<Vec<ConfigResource>, KafkaError> {
    let specifiers: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(kafka.request_timeout));
    let described = Handle::current().block_on(admin.describe_configs(&specifiers, &options))?;
    described.into_iter().map(|settings| settings.map_err(KafkaError::AdminOp)).collect()
}

fn value<'a>(settings: &'a ConfigResource, setting: &str) -> Option<&'a str> {
    settings.get(setting).and_then(|entry| entry.value.as_deref())
}

/// How long, and how much, a topic keeps, where that is not for ever.
fn limits(settings: &ConfigResource) -> impl Iterator<Item = (&'static str, &str)> {
    let limited = move |setting| value(settings, setting).map(|found| (setting, found));
    [RETENTION, RETENTION_BYTES].into_iter().filter_map(limited).filter(|(_, found)| *found != FOR_EVER)
}

fn check_settings(
    admin: &AdminClient<Quiet>,
    kafka: &config::Kafka,
    topics: &[Topic],
) -> Result<(), TopicError> {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    for settings in settings(admin, kafka, &names)? {
        let OwnedResourceSpecifier::Topic(name) = &settings.specifier else {
            continue;
        };
        let value = |setting| value(&settings, setting);
        if let Some(found) = value(RECORD_BYTES).and_then(|value| value.parse().ok())
            && found < kafka.record_bytes_max
        {
            return Err(TopicError::RecordBytes {
                topic: name.clone(),
                found,
                wanted: kafka.record_bytes_max,
            });
        }
        if value(CLEANUP).is_some_and(|policy| policy.contains("compact")) {
            return Err(TopicError::Compacted(name.clone()));
        }
        for (setting, found) in limits(&settings) {
            warn!(topic = name, setting, found, "the topic forgets: what it forgot is read from the log");
        }
    }
    Ok(())
}
