//! What the relay and the projectors share about Kafka: names, partitions, the form of a record, client settings.
//!
//! The only user of `rdkafka` beside the relay and the projectors' Kafka source. Keys and partitions are a function of
//! the stream alone and the same in every mode, so that redelivery and switching between Kafka and the log are harmless.

mod contents;
mod murmur2;
mod record;
mod tails;
mod topics;

pub use contents::Contents;
use rdkafka::{
    ClientConfig, ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
};
pub use record::{Malformed, Record, decode, headers, source};
pub use tails::{Tail, TailError, read_tails};
pub use topics::{Topic, TopicError, delete_topics, ensure_exchange, ensure_topics};
use tracing::debug;
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
    client
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
