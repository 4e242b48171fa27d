//! The thread that sends, with `BaseProducer`s that nobody else polls, one batch at a time.
//!
//! A producer shared with a polling thread loses its delivery reports to it, and each commit then sits out a whole slice
//! of 100 ms. The invariant: a batch is answered `Ok` only when Kafka has acknowledged every record of it and, in
//! exactly-once mode, its transaction. After any error the thread ends and its producer with it: what became of the batch
//! is found out by fencing and reading the topics' ends.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{DeliveryResult, Message},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{
    Error,
    ends::Ends,
    partitions::Outgoing,
    session::{Session, message_timeout},
};
use crate::{
    config::{self, RelayMode},
    kafka::{self, Quiet},
    log::Metadata,
};

/// Between two looks for delivery reports. `poll` itself does not wait: it would busy-wait its whole time out.
const POLL_INTERVAL: Duration = Duration::from_micros(100);

/// Transactional producers that take turns. A broker writes a transaction's markers after it has answered the commit;
/// to a producer that begins again meanwhile it says "later", and librdkafka then waits 20 ms. So one sends while the
/// other's markers are written.
const TURNS: usize = 2;

/// Hands batches to the thread. Dropped, it stops the thread in the middle of what it does.
pub(super) struct Producer {
    jobs: mpsc::Sender<Job>,
    _stop: DropGuard,
}

struct Job {
    records: Vec<Outgoing>,
    /// Nothing is sent any more after this time; `None` where late records are fenced off.
    until: Option<Instant>,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Producer {
    /// Starts the thread; returns when all earlier producers of this log are fenced off.
    pub(super) async fn start(session: &Session<'_>) -> Result<Self, Error> {
        let (jobs, received) = mpsc::channel(1);
        let (ready, fenced) = oneshot::channel();
        let stop = CancellationToken::new();
        let thread = Thread::new(session, stop.clone());
        thread::Builder::new()
            .name("relay".into())
            .spawn(move || thread.run(received, ready))
            .map_err(|_| Error::Closed)?;
        let producer = Self { jobs, _stop: stop.drop_guard() };
        fenced.await.map_err(|_| Error::Closed)??;
        Ok(producer)
    }

    /// Sends a batch, in order; `Ok` when Kafka has all of it.
    pub(super) async fn send(&self, records: Vec<Outgoing>, until: Option<Instant>) -> Result<(), Error> {
        let (done, acknowledged) = oneshot::channel();
        self.jobs.send(Job { records, until, done }).await.map_err(|_| Error::Closed)?;
        acknowledged.await.map_err(|_| Error::Closed)?
    }
}

/// What the thread owns.
struct Thread {
    kafka: config::Kafka,
    client: ClientConfig,
    mode: RelayMode,
    relay_id: String,
    source: String,
    timeout: Duration,
    /// Without transactions a record must not be sent after the lease has gone to somebody else.
    message_timeout: Duration,
    ends: Arc<Ends>,
    stop: CancellationToken,
}

impl Thread {
    fn new(session: &Session<'_>, stop: CancellationToken) -> Self {
        let mut client = kafka::client(session.kafka);
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", session.config.batch_events_max.max(1_000).to_string())
            .set("queue.buffering.max.kbytes", "1048576")
            .set("message.max.bytes", session.kafka.record_bytes_max.to_string())
            // A topic that is gone is made again with its own number of partitions, not with the broker's.
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.propagation.max.ms", session.kafka.request_timeout.as_millis().to_string());
        Self {
            kafka: session.kafka.clone(),
            client,
            mode: session.config.mode,
            relay_id: session.relay_id.clone(),
            source: session.source.clone(),
            timeout: session.config.transaction_timeout,
            message_timeout: message_timeout(session.config),
            ends: session.ends.clone(),
            stop,
        }
    }

    fn run(self, mut jobs: mpsc::Receiver<Job>, ready: oneshot::Sender<Result<(), Error>>) {
        let producers = match self.connect() {
            Ok(producers) => producers,
            // Whoever waits no longer is not interested in why.
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        for producer in producers.iter().cycle() {
            let Some(job) = jobs.blocking_recv() else {
                return;
            };
            let result = self.send(producer, &job);
            let failed = result.is_err();
            let _ = job.done.send(result);
            if failed {
                return;
            }
        }
    }

    /// Fences every earlier transactional producer of this log off; returns those that take turns in sending.
    fn connect(&self) -> Result<Vec<BaseProducer<Deliveries>>, Error> {
        // A producer that is refused would only run out of time.
        kafka::knock(&self.kafka)?;
        let timeout_ms = self.timeout.as_millis().to_string();
        let mut fencing = Vec::with_capacity(TURNS);
        for turn in 0..TURNS {
            let mut transactional = self.client.clone();
            transactional
                .set("transactional.id", format!("{}.{turn}", self.relay_id))
                .set("transaction.timeout.ms", &timeout_ms)
                .set("message.timeout.ms", &timeout_ms);
            let producer = self.create(&transactional)?;
            producer.init_transactions(self.timeout)?;
            fencing.push(producer);
        }
        match self.mode {
            RelayMode::ExactlyOnce => Ok(fencing),
            // A producer that has called `init_transactions` sends within transactions only.
            RelayMode::LowLatency => Ok(vec![self.idempotent()?]),
        }
    }

    fn idempotent(&self) -> KafkaResult<BaseProducer<Deliveries>> {
        let mut idempotent = self.client.clone();
        idempotent
            .set("message.timeout.ms", self.message_timeout.as_millis().to_string())
            // A record given up while later ones go through would leave a hole that nobody may fill.
            .set("enable.gapless.guarantee", "true");
        self.create(&idempotent)
    }

    fn create(&self, client: &ClientConfig) -> KafkaResult<BaseProducer<Deliveries>> {
        client.create_with_context(Deliveries {
            ends: self.ends.clone(),
            awaited: AtomicUsize::new(0),
            fault: Mutex::new(None),
        })
    }

    fn send(&self, producer: &BaseProducer<Deliveries>, job: &Job) -> Result<(), Error> {
        if self.mode == RelayMode::ExactlyOnce {
            producer.begin_transaction()?;
        }
        for record in &job.records {
            if job.until.is_some_and(|until| Instant::now() > until) {
                return Err(Error::LeaseLost);
            }
            self.enqueue(producer, record)?;
        }
        self.await_deliveries(producer)?;
        if self.mode == RelayMode::ExactlyOnce {
            producer.commit_transaction(self.timeout)?;
        }
        Ok(())
    }

    fn enqueue(&self, producer: &BaseProducer<Deliveries>, outgoing: &Outgoing) -> Result<(), Error> {
        let Outgoing { event, topic, partition, slot, previous } = outgoing;
        let metadata: Metadata = event.metadata.parse().map_err(|_| Error::Unreadable(event.position))?;
        let mut key = Uuid::encode_buffer();
        let mut record = BaseRecord::with_opaque_to(topic, *slot)
            .partition(*partition)
            .key(kafka::key(event.stream_id, &mut key))
            .payload(event.data.as_str())
            .headers(kafka::headers(event, &metadata, &self.source, *previous));
        loop {
            match producer.send(record) {
                Ok(()) => {
                    producer.context().awaited.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.wait(producer)?;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    fn await_deliveries(&self, producer: &BaseProducer<Deliveries>) -> Result<(), Error> {
        loop {
            producer.poll(Duration::ZERO);
            if producer.context().awaited.load(Ordering::Relaxed) == 0 {
                return producer.context().fault();
            }
            self.wait(producer)?;
        }
    }

    /// A moment for Kafka to answer.
    fn wait(&self, producer: &BaseProducer<Deliveries>) -> Result<(), Error> {
        if self.stop.is_cancelled() {
            return Err(Error::LeaseLost);
        }
        producer.poll(Duration::ZERO);
        producer.context().fault()?;
        thread::sleep(POLL_INTERVAL);
        Ok(())
    }
}

/// Takes delivery reports, on the thread that polls.
struct Deliveries {
    ends: Arc<Ends>,
    /// Records without a report.
    awaited: AtomicUsize,
    /// The first thing that went wrong.
    fault: Mutex<Option<Error>>,
}

impl Deliveries {
    fn fault(&self) -> Result<(), Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
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
    /// The record's slot.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        self.awaited.fetch_sub(1, Ordering::Relaxed);
        let fault = match result {
            Ok(message) if self.ends.deliver(slot, message.offset()) => return,
            Ok(message) => Error::Replaced { topic: message.topic().to_owned() },
            Err((error, _)) => error.clone().into(),
        };
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }
}
