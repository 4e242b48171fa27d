//! Sends replies and waits until Kafka has them.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use chrono::Utc;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{DeliveryResult, Message, OwnedMessage},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use tracing::error;

use super::record;
use crate::{
    command::contract::Reply,
    config,
    kafka::{self, Quiet},
};

/// Between two looks for delivery reports; the producer's own wait would sit its whole time out.
const POLL_INTERVAL: Duration = Duration::from_micros(100);
/// Faults that a reply lists which would be too long with all of them.
const ERRORS_MAX: usize = 100;

/// The producer of replies, polled by its thread alone.
pub(super) struct Replies {
    producer: BaseProducer<Deliveries>,
    topic: String,
    source: String,
    /// Longest value of a reply.
    value_bytes_max: usize,
}

impl Replies {
    /// `source` is the `ce_source` of every reply.
    pub(super) fn new(kafka: &config::Kafka, topic: String, source: String) -> KafkaResult<Self> {
        let mut client = kafka::client(kafka);
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.max.bytes", kafka.record_bytes_max.to_string())
            .set("message.timeout.ms", kafka.request_timeout.as_millis().to_string());
        let producer = client.create_with_context(Deliveries::default())?;
        Ok(Self { producer, topic, source, value_bytes_max: kafka.record_bytes_max / 2 })
    }

    /// Answers each record; `Ok` when Kafka has every reply. Blocks.
    pub(super) fn send(&self, answered: &[(OwnedMessage, Reply)]) -> KafkaResult<()> {
        let deliveries = self.producer.context();
        for (asked, reply) in answered {
            let value = self.value(reply);
            let mut record = BaseRecord::<[u8], str>::to(&self.topic)
                .payload(&value)
                .headers(record::reply_headers(asked, reply, &self.source, Utc::now()));
            if let Some(key) = asked.key() {
                record = record.key(key);
            }
            match self.producer.send(record) {
                Ok(()) => drop(deliveries.awaited.fetch_add(1, Ordering::Relaxed)),
                Err((error, _)) if is_too_large(&error) => note_too_large(),
                Err((error, _)) => return Err(error),
            }
        }
        // Each record is given up at `message.timeout.ms` at the latest, so this ends.
        while deliveries.awaited.load(Ordering::Relaxed) > 0 {
            self.producer.poll(Duration::ZERO);
            thread::sleep(POLL_INTERVAL);
        }
        deliveries.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Replies {
    /// The reply as JSON. One that is too long, by its list of thousands of faults, does without what makes it long.
    fn value(&self, reply: &Reply) -> String {
        let text = |reply: &Reply| serde_json::to_string(reply).expect("a reply is plain JSON");
        let whole = text(reply);
        if whole.len() <= self.value_bytes_max {
            return whole;
        }
        let mut short = Reply { result: None, ..reply.clone() };
        if let Some(errors) = short.problem.as_mut().and_then(|problem| problem.get_mut("errors")) {
            errors.as_array_mut().into_iter().for_each(|errors| errors.truncate(ERRORS_MAX));
        }
        text(&short)
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// Such as one to a key of a megabyte: it must not hold up everybody else.
fn note_too_large() {
    metrics::counter!("annals_topic_replies_too_large_total").increment(1);
    error!("a reply does not fit a record; its command's id still tells what became of it");
}

/// Takes delivery reports, on the thread that polls.
#[derive(Default)]
struct Deliveries {
    /// Records without a report.
    awaited: AtomicUsize,
    /// The first thing that went wrong.
    fault: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
        if let Err((error, _)) = result {
            if is_too_large(error) {
                return note_too_large();
            }
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            fault.get_or_insert_with(|| error.clone());
        }
    }
}
