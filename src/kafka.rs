//! What the relay, the projectors and the command topic share about Kafka: names, partitions, the form of a record, client
//! settings.
//!
//! Besides these only measurements use `rdkafka`. Keys and partitions are a function of the stream alone and the same in every mode, so
//! that redelivery and switching between Kafka and the log are harmless.

mod bounds;
mod contents;
mod knock;
mod murmur2;
mod record;
mod tails;
mod topics;
mod unread;

use std::time::Duration;

pub use bounds::read_bounds;
pub use contents::Contents;
pub use knock::{Refused, knock};
use rdkafka::{
    ClientConfig, ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
};
pub use record::{Malformed, Record, decode, headers, source};
use secrecy::ExposeSecret;
pub use tails::{Tail, TailError, read_tails};
pub use topics::{
    Topic, TopicError, delete_topics, ensure_exchange, ensure_topics, forgets, make_topics_anew,
};
use tracing::debug;
pub use unread::Unread;
use uuid::Uuid;

use crate::config;

/// The topic of a stream type.
pub fn topic(prefix: &str, stream_type: &str) -> String {
    format!("{prefix}.{stream_type}")
}

/// The partition of a stream, as Kafka's Java clients choose it for its key (KIP-480 leaves keyed records as they were):
/// murmur2 of the key's bytes, made positive, modulo the number of partitions.
pub fn partition(stream_id: Uuid, partitions: i32) -> i32 {
    let hash = murmur2::murmur2(key(stream_id, &mut Uuid::encode_buffer()).as_bytes());
    ((hash & 0x7fff_ffff) % partitions.unsigned_abs()) as i32
}

/// The record key of a stream: its id as text, written into `buffer` (see [`Uuid::encode_buffer`]).
pub fn key(stream_id: Uuid, buffer: &mut [u8]) -> &str {
    stream_id.hyphenated().encode_lower(buffer)
}

/// Settings of every client.
pub fn client(kafka: &config::Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "annals")
        // librdkafka speaks up itself otherwise, on stderr, for every broker that is away.
        .set("log.connection.close", "false")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000");
    secure(&mut client, &kafka.security);
    client
}

/// Settings of a consumer that shares a topic's partitions out with the others of its group. Where it goes on is for its owner to
/// say; without that it begins anew, for what was done already does nothing when it is done again.
pub fn member(
    kafka: &config::Kafka,
    group: &str,
    session_timeout: Duration,
    queue_bytes_max: usize,
) -> ClientConfig {
    let session = session_timeout.as_millis();
    let mut member = client(kafka);
    member
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.to_string())
        .set("heartbeat.interval.ms", (session / 4).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // What a producer has sent and not committed yet counts for no reader, and each marker would be one more fetch.
        .set("isolation.level", "read_committed")
        // A broker answers as soon as there is anything. While there is nothing, this is also how long a request that
        // comes after a fetch has to wait.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", (queue_bytes_max / 1024).max(1).to_string());
    member
}

/// Settings of a consumer that reads what a topic holds, from places that it is told. `group` names it; it joins none.
fn reader(kafka: &config::Kafka, group: &str) -> ClientConfig {
    let mut reader = client(kafka);
    reader
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error");
    reader
}

fn secure(client: &mut ClientConfig, security: &config::KafkaSecurity) {
    client.set("security.protocol", security.protocol);
    if let Some(file) = &security.ca_file {
        client.set("ssl.ca.location", file.to_string_lossy());
    }
    if let Some(sasl) = &security.sasl {
        client
            .set("sasl.mechanism", sasl.mechanism)
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose_secret());
    }
}

/// What a client has to say goes to the debug log: librdkafka repeats itself for every broker and every try, while
/// what it means (an operation failed) reaches whoever asked for the operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(?level, facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, "librdkafka: {reason}");
    }
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use rdkafka::producer::{BaseProducer, DefaultProducerContext};

    use super::*;
    use crate::config::{Config, Sources};

    fn configured(settings: &[(&str, &str)]) -> Result<config::Kafka, config::Faults> {
        let own = [("database_url", "postgres://u@h/d"), ("kafka_brokers", "127.0.0.1:1")];
        let settings = own.iter().chain(settings).map(|(name, value)| (*name, (*value).to_owned()));
        Config::from_sources(Sources::of(settings)).map(|config| config.kafka.expect("brokers are set"))
    }

    #[test]
    fn security_reaches_the_client_and_no_log() {
        let plain = client(&configured(&[]).unwrap());
        assert_eq!(plain.get("security.protocol"), Some("plaintext"));
        let mut settings = vec![
            ("kafka_security_protocol", "sasl_ssl"),
            ("kafka_sasl_mechanism", "SCRAM-SHA-512"),
            ("kafka_sasl_username", "annals"),
            ("kafka_sasl_password", "pa55word"),
        ];
        let kafka = configured(&settings).unwrap();
        assert!(!format!("{kafka:?}").contains("pa55word"));
        let secure = client(&kafka);
        assert_eq!(secure.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(secure.get("sasl.password"), Some("pa55word"));
        // The library was built with all that this needs.
        let made: Result<BaseProducer, _> = secure.create_with_context(DefaultProducerContext);
        assert!(made.is_ok(), "{:?}", made.err());
        settings.push(("kafka_ca_file", "Cargo.toml"));
        let secure = client(&configured(&settings).unwrap());
        assert_eq!(secure.get("ssl.ca.location"), Some("Cargo.toml"));
        let elsewhere = [("kafka_ca_file", "/nonexistent")];
        assert!(configured(&elsewhere).unwrap_err().to_string().contains("kafka_ca_file"));
        settings.retain(|(name, _)| *name != "kafka_sasl_password");
        assert!(configured(&settings).is_err(), "a mechanism without a password");
    }
}
