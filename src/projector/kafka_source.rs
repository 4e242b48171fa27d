//! Kafka as a source: one consumer per projection, on a thread of its own. What arrives while the worker folds is gathered into
//! one chunk, bounded, which the worker takes when it is ready for it.
//!
//! The group shares the partitions out; where each begins is taken from the checkpoints, and Kafka's committed offsets are not
//! used. Rows do not depend on this source being right: what it repeats is skipped, and what it misses is a hole that is filled
//! from the log.

mod group;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use group::Group;
use rdkafka::{
    Message,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, warn};

use super::{
    Deps,
    batch::{Chunk, Received},
};
use crate::{config, kafka, log::Partition};

/// How long one poll waits; also how soon the thread sees that it has to end.
const POLL: Duration = Duration::from_millis(100);
/// How long the thread waits for the worker before it takes care of its group again.
const STALL: Duration = Duration::from_secs(1);
/// How long brokers that seem to be gone are given to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// First wait until they are asked again.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// A consumer that runs until this is dropped.
pub(super) struct KafkaSource {
    limits: config::Projector,
    pending: Arc<Pending>,
    filled: mpsc::Receiver<()>,
    away: watch::Receiver<Option<String>>,
    assigned: Assigned,
    _stop: DropGuard,
}

/// What a source tells its worker.
pub(super) enum Told {
    /// `is_much`: half of what a batch may hold, or more.
    Chunk { chunk: Chunk, is_much: bool },
    /// Kafka is away, and why; `None`: it is back.
    Away(Option<String>),
}

/// What has arrived and is not taken yet.
#[derive(Default)]
struct Pending {
    gathered: Mutex<Gathered>,
    taken: Notify,
}

/// The partitions that the group gave to this worker.
pub(super) type Assigned = Arc<Mutex<BTreeSet<Partition>>>;

/// What the consumer's thread needs.
pub(super) struct Subscription {
    pub(super) deps: Deps,
    pub(super) kafka: config::Kafka,
    pub(super) limits: config::Projector,
    pub(super) projection: String,
    pub(super) stream_types: Vec<String>,
}

impl KafkaSource {
    /// Joins the projection's group.
    pub(super) fn start(subscription: Subscription) -> Result<Self, KafkaError> {
        let (filling, filled) = mpsc::channel(1);
        let pending = Arc::<Pending>::default();
        let assigned = Assigned::default();
        let stop = CancellationToken::new();
        let limits = subscription.limits.clone();
        // A rate is told from the first increment on only of what was 0 before.
        subscription.refused().increment(0);
        let consumer = consumer(&subscription, assigned.clone())?;
        let (saying, away) = watch::channel(None);
        let thread = Thread {
            subscription,
            consumer,
            pending: pending.clone(),
            filling,
            away: saying,
            stop: stop.clone(),
            doubt: None,
            last_error: None,
        };
        tokio::task::spawn_blocking(move || thread.run());
        Ok(Self { limits, pending, filled, away, assigned, _stop: stop.drop_guard() })
    }

    /// The next records, or news; `None` when the consumer has failed for good.
    pub(super) async fn next(&mut self) -> Option<Told> {
        tokio::select! {
            filled = self.filled.recv() => filled.map(|()| {
                let gathered = self.pending.take();
                Told::Chunk { is_much: gathered.is_much(&self.limits), chunk: gathered.chunk }
            }),
            Ok(()) = self.away.changed() => Some(Told::Away(self.away.borrow_and_update().clone())),
        }
    }

    /// The partitions that this worker has now.
    pub(super) fn assigned(&self) -> BTreeSet<Partition> {
        locked(&self.assigned).clone()
    }

    /// The same, as it changes.
    pub(super) fn assignment(&self) -> Assigned {
        self.assigned.clone()
    }
}

pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn consumer(subscription: &Subscription, assigned: Assigned) -> Result<BaseConsumer<Group>, KafkaError> {
    let Subscription { deps, kafka, limits, projection, stream_types } = subscription;
    let name = format!("{}.{projection}.{}", kafka.topic_prefix, deps.log_id);
    let group = Group {
        deps: deps.clone(),
        topic_prefix: kafka.topic_prefix.clone(),
        projection: projection.clone(),
        assigned,
        runtime: Handle::current(),
    };
    // An offset that is not there (any more) is answered by reading the partition from its beginning: what was folded is
    // skipped, and what is missing is a hole.
    let consumer: BaseConsumer<Group> =
        kafka::member(kafka, &name, limits.session_timeout, limits.batch_bytes_max)
            .set("topic.metadata.refresh.interval.ms", "1000")
            .create_with_context(group)?;
    let topics: Vec<String> =
        stream_types.iter().map(|stream_type| kafka::topic(&kafka.topic_prefix, stream_type)).collect();
    consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(consumer)
}

/// The consumer's thread.
struct Thread {
    subscription: Subscription,
    consumer: BaseConsumer<Group>,
    pending: Arc<Pending>,
    /// Says that something is pending.
    filling: mpsc::Sender<()>,
    away: watch::Sender<Option<String>>,
    stop: CancellationToken,
    /// How long the last wait was, while brokers seem to be gone.
    doubt: Option<Duration>,
    /// So that what goes on failing is said once.
    last_error: Option<KafkaError>,
}

impl Thread {
    fn run(mut self) {
        while !self.stop.is_cancelled() {
            let delivered = self.gather().and_then(|gathered| self.deliver(gathered));
            if let Some(waited) = self.doubt {
                self.ask(waited);
            }
            if let Err(error) = delivered {
                error!(projection = self.subscription.projection, %error, "the Kafka consumer failed");
                return;
            }
        }
    }

    /// What has arrived, as much as a batch may hold.
    fn gather(&mut self) -> Result<Gathered, KafkaError> {
        let mut gathered = Gathered::default();
        let mut wait = POLL;
        while gathered.has_room(&self.subscription.limits) {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => self.subscription.take(&message, &mut gathered),
                Some(Err(error)) if is_away(&error) => {
                    self.doubt.get_or_insert(Duration::ZERO);
                    break;
                }
                Some(Err(error)) => note(&self.subscription.projection, &mut self.last_error, error)?,
            }
            wait = Duration::ZERO;
        }
        Ok(gathered)
    }

    /// Asks brokers that seem to be gone whether they are. If so, waits before anything else is tried: librdkafka goes on
    /// trying by itself, and says so for each broker and each try.
    fn ask(&mut self, waited: Duration) {
        let Err(error) = self.consumer.fetch_metadata(None, ANSWER_TIMEOUT) else {
            self.doubt = None;
            self.away.send_if_modified(|away| away.take().is_some());
            return;
        };
        if self.away.borrow().is_none() {
            let refused = kafka::knock(&self.subscription.kafka).err();
            let reason =
                refused.map_or(format!("Kafka does not answer: {error}"), |refused| refused.to_string());
            self.away.send_replace(Some(reason));
        }
        let wait = (waited * 2).clamp(BACKOFF_MIN, self.subscription.limits.backoff_max.max(BACKOFF_MIN));
        let waiting = timeout(wait, self.stop.cancelled());
        // Out of time is what is expected here.
        let _ = self.consumer.context().runtime.block_on(waiting);
        self.doubt = Some(wait);
    }

    /// Adds it to what is pending, as soon as there is room; a worker that takes long must not cost the membership of the
    /// group.
    fn deliver(&mut self, mut gathered: Gathered) -> Result<(), KafkaError> {
        if gathered.records == 0 {
            return Ok(());
        }
        let mut paused = false;
        while !self.stop.is_cancelled() {
            let taken = self.pending.taken.notified();
            {
                let mut pending = locked(&self.pending.gathered);
                if pending.has_room_for(&gathered, &self.subscription.limits) {
                    pending.append(gathered);
                    // One that is said already serves for this too.
                    let _ = self.filling.try_send(());
                    break;
                }
            }
            let waiting = self.stop.run_until_cancelled(timeout(STALL, taken));
            if let Some(Err(_)) = self.consumer.context().runtime.block_on(waiting) {
                paused = true;
                self.consumer.pause(&self.consumer.assignment()?)?;
                if let Some(Ok(message)) = self.consumer.poll(Duration::ZERO) {
                    self.subscription.take(&message, &mut gathered);
                }
            }
        }
        if paused {
            self.consumer.resume(&self.consumer.assignment()?)?;
        }
        Ok(())
    }
}

/// Whether an error means that no broker can be reached.
fn is_away(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
    matches!(error, KafkaError::MessageConsumption(AllBrokersDown | BrokerTransportFailure | Resolve))
}

/// Says what failed; an error where the consumer cannot go on.
fn note(projection: &str, last: &mut Option<KafkaError>, error: KafkaError) -> Result<(), KafkaError> {
    use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
    match &error {
        KafkaError::MessageConsumptionFatal(_) => return Err(error),
        KafkaError::MessageConsumption(UnknownTopic | UnknownTopicOrPartition) => {
            debug!(projection, %error, "the topic is not there yet");
        }
        _ if last.as_ref() == Some(&error) => {}
        _ => warn!(projection, %error, "Kafka is not read; it goes on by itself"),
    }
    *last = Some(error);
    Ok(())
}

/// A chunk in the making.
#[derive(Default)]
struct Gathered {
    chunk: Chunk,
    records: usize,
    bytes: usize,
}

impl Gathered {
    fn has_room(&self, limits: &config::Projector) -> bool {
        self.records < limits.batch_events_max && self.bytes < limits.batch_bytes_max
    }

    fn is_much(&self, limits: &config::Projector) -> bool {
        self.records >= limits.batch_events_max / 2 || self.bytes >= limits.batch_bytes_max / 2
    }

    fn has_room_for(&self, later: &Self, limits: &config::Projector) -> bool {
        let together = |own: usize, its: usize, max: usize| own == 0 || own + its <= max;
        together(self.records, later.records, limits.batch_events_max)
            && together(self.bytes, later.bytes, limits.batch_bytes_max)
    }

    fn append(&mut self, later: Self) {
        self.records += later.records;
        self.bytes += later.bytes;
        for (partition, feed) in later.chunk.feeds {
            self.chunk.feeds.entry(partition).or_default().records.extend(feed.records);
        }
    }
}

impl Pending {
    fn take(&self) -> Gathered {
        let gathered = std::mem::take(&mut *locked(&self.gathered));
        self.taken.notify_one();
        gathered
    }
}

impl Subscription {
    /// Takes a record in. One that is not this log's is refused: loudly, and without harm, since whatever is missing is
    /// read from the log.
    fn take(&self, message: &BorrowedMessage<'_>, gathered: &mut Gathered) {
        let record = match kafka::decode(message) {
            Ok(record) if record.source == kafka::source(self.deps.log_id) => record,
            Ok(record) => {
                return self.refuse(message, &format!("it belongs to another log, {}", record.source));
            }
            Err(error) => return self.refuse(message, &error.to_string()),
        };
        gathered.records += 1;
        gathered.bytes += message.payload_len();
        let partition =
            Partition { stream_type: record.event.stream_type.clone(), number: message.partition() };
        let received = Received { previous: record.previous, offset: message.offset(), event: record.event };
        gathered.chunk.feeds.entry(partition).or_default().records.push(received);
    }

    fn refused(&self) -> metrics::Counter {
        metrics::counter!("annals_projection_refused_total", "projection" => self.projection.clone())
    }

    fn refuse(&self, message: &BorrowedMessage<'_>, reason: &str) {
        self.refused().increment(1);
        error!(
            projection = self.projection,
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            reason,
            "a record is refused"
        );
    }
}
