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
    error::{KafkaError, KafkaResult},
    message::{DeliveryResult, Message, OwnedMessage},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use super::record;
use crate::{
    command::contract::Reply,
    config,
    kafka::{self, Quiet},
};

/// Between two looks for delivery reports; the producer's own wait would sit its whole time out.
const POLL_INTERVAL: Duration = Duration::from_micros(100);

/// The producer of replies, polled by its thread alone.
pub(super) struct Replies {
    producer: BaseProducer<Deliveries>,
    topic: String,
    source: String,
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
        Ok(Self { producer: client.create_with_context(Deliveries::default())?, topic, source })
    }

    /// Answers each record; `Ok` when Kafka has every reply. Blocks.
    pub(super) fn send(&self, answered: &[(OwnedMessage, Reply)]) -> KafkaResult<()> {
        let deliveries = self.producer.context();
        for (asked, reply) in answered {
            let value = serde_json::to_string(reply).expect("a reply is plain JSON");
            let mut record = BaseRecord::<[u8], str>::to(&self.topic)
                .payload(&value)
                .headers(record::reply_headers(asked, reply, &self.source, Utc::now()));
            if let Some(key) = asked.key() {
                record = record.key(key);
            }
            self.producer.send(record).map_err(|(error, _)| error)?;
            deliveries.awaited.fetch_add(1, Ordering::Relaxed);
        }
        // Each record is given up at `message.timeout.ms` at the latest, so this ends.
        while deliveries.awaited.load(Ordering::Relaxed) > 0 {
            self.producer.poll(Duration::ZERO);
            thread::sleep(POLL_INTERVAL);
        }
        deliveries.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
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
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            fault.get_or_insert_with(|| error.clone());
        }
    }
}
