//! Commands from Kafka: `<prefix>.commands`, answered on `<prefix>.replies`.
//!
//! A record is one command, validated and carried out as over HTTP; its actor is the topic's configured principal. What
//! has arrived is carried out together: records of one key one after the other, keys beside each other; then the replies
//! go out, then the offsets. The invariant: an offset is committed only when Kafka has the reply, and a command id takes
//! effect once; so a redelivery is harmless and gets the first answer. What cannot be read gets a reply too and holds
//! nobody up; while the log is away the topic waits.

mod record;
mod replies;

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, stream};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{
        KafkaError, KafkaResult,
        RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition},
    },
    message::{Message, OwnedMessage},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

use super::{
    Answer, Commands, Error, Request,
    contract::{Contract, NotDone, Reply},
};
use crate::{
    config,
    kafka::{self, TopicError, Unread},
    log,
};
use replies::Replies;

/// How long one poll waits; also how soon the thread sees that it has to end.
const POLL: Duration = Duration::from_millis(100);
/// How long the thread waits for commands in hand before it takes care of its membership again.
const STALL: Duration = Duration::from_secs(1);
/// How long brokers may take to say that they are there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// First wait between tries.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// What the topic stands on.
#[derive(Clone)]
pub struct Deps {
    pub commands: Commands,
    pub contract: Arc<Contract>,
    /// Part of the consumer group's name: a log that was restored and began anew looks at every command again.
    pub log_id: Uuid,
    /// The actor of every command.
    pub principal: String,
    pub status: watch::Sender<Status>,
}

/// How the topic is.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Why commands are not taken at the moment, for people; it is tried again by itself.
    pub stopped: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("partitions of the commands were not read for {0:?}; another consumer tries")]
    Unread(Duration),
    #[error("the commands' task failed: {0}")]
    Task(#[from] JoinError),
}

/// Takes commands until shutdown; those in hand are finished and answered.
pub async fn run(
    deps: Deps,
    kafka: config::Kafka,
    limits: config::CommandTopic,
    shutdown: CancellationToken,
) {
    let waits = ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(limits.backoff_max)
        .without_max_times();
    // A rate is told from the first increment on only of what was 0 before.
    for status in [log::Status::Done, log::Status::Rejected, log::Status::Failed] {
        counted(status).increment(0);
    }
    let (mut waiting, backoff_max) = (waits.build(), limits.backoff_max);
    while !shutdown.is_cancelled() {
        let (deps, kafka, limits, stop) = (deps.clone(), kafka.clone(), limits.clone(), shutdown.clone());
        let status = deps.status.clone();
        let session = spawn_blocking(move || {
            let session =
                Session::start(deps, &kafka, limits, stop).map_err(|error| (error, Duration::ZERO))?;
            let began = Instant::now();
            session.run().map_err(|error| (error, began.elapsed()))
        });
        let reason = match session.await {
            Ok(Ok(())) => return,
            Ok(Err((error, worked))) => {
                warn!(%error, "commands are not taken from Kafka; trying again");
                // What failed after so long is another thing.
                if worked > backoff_max {
                    waiting = waits.build();
                }
                error.to_string()
            }
            Err(panic) => {
                error!(%panic, "the command topic's thread failed; it begins again");
                "its thread failed".to_owned()
            }
        };
        status.send_replace(Status { stopped: Some(reason) });
        let wait = waiting.next().unwrap_or(BACKOFF_MIN);
        shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// One membership of the group, on a thread of its own.
struct Session {
    work: Arc<Work>,
    consumer: BaseConsumer<Unread>,
    replies: Replies,
    runtime: Handle,
    /// Whether brokers seemed to be gone, and were not found since.
    is_in_doubt: Cell<bool>,
}

/// What carrying out needs.
struct Work {
    deps: Deps,
    limits: config::CommandTopic,
    stop: CancellationToken,
}

type Answered = Vec<(OwnedMessage, Reply)>;

impl Session {
    fn start(
        deps: Deps,
        kafka: &config::Kafka,
        limits: config::CommandTopic,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let [commands, replies] = ["commands", "replies"].map(|name| kafka::topic(&kafka.topic_prefix, name));
        kafka::ensure_exchange(kafka, &[&commands, &replies])?;
        let group = format!("{commands}.{}", deps.log_id);
        // Without a committed offset every command is looked at: what was done gets its first answer.
        let member = kafka::member(kafka, &group, limits.session_timeout, 2 * kafka.record_bytes_max);
        let consumer = Unread::watched(member)?;
        consumer.subscribe(&[&commands])?;
        let replies = Replies::new(kafka, replies, kafka::source(deps.log_id))?;
        deps.status.send_replace(Status::default());
        let work = Arc::new(Work { deps, limits, stop });
        let (runtime, is_in_doubt) = (Handle::current(), Cell::new(false));
        Ok(Self { work, consumer, replies, runtime, is_in_doubt })
    }

    fn run(&self) -> Result<(), Failure> {
        let mut early = Vec::new();
        while !self.work.stop.is_cancelled() {
            let unread = self.consumer.context().lasts();
            if unread > self.work.limits.session_timeout {
                return Err(Failure::Unread(unread));
            }
            let batch = self.gather(mem::take(&mut early))?;
            if batch.is_empty() {
                self.ask();
                continue;
            }
            let Some(answered) = self.carry_out(batch, &mut early)? else {
                return Ok(());
            };
            self.replies.send(&answered)?;
            self.commit(&answered)?;
        }
        Ok(())
    }

    /// What has arrived, as much as may go together.
    fn gather(&self, mut batch: Vec<OwnedMessage>) -> KafkaResult<Vec<OwnedMessage>> {
        let mut wait = if batch.is_empty() { POLL } else { Duration::ZERO };
        while batch.len() < self.work.limits.batch_records_max
            && let Some(record) = self.poll(wait)?
        {
            batch.push(record);
            wait = Duration::ZERO;
        }
        Ok(batch)
    }

    fn poll(&self, wait: Duration) -> KafkaResult<Option<OwnedMessage>> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(record)) => Ok(Some(record.detach())),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error),
            // The next session makes it again.
            Some(Err(error @ KafkaError::MessageConsumption(UnknownTopic | UnknownTopicOrPartition))) => {
                Err(error)
            }
            Some(Err(error)) => {
                self.is_in_doubt.set(true);
                debug!(%error, "the command topic is not read; it goes on by itself");
                Ok(None)
            }
        }
    }

    /// Asks brokers that seem to be gone whether they are, and says so.
    fn ask(&self) {
        if !self.is_in_doubt.get() {
            return;
        }
        let stopped = match self.consumer.fetch_metadata(None, ANSWER_TIMEOUT) {
            Ok(_) => None,
            Err(error) => Some(format!("Kafka does not answer: {error}")),
        };
        self.is_in_doubt.set(stopped.is_some());
        self.work.deps.status.send_if_modified(|status| {
            let is_news = status.stopped.is_some() != stopped.is_some();
            if is_news {
                status.stopped = stopped;
            }
            is_news
        });
    }

    /// Waits for the commands; where that takes long, keeps the membership of the group meanwhile. `None`: the program
    /// is ending and they are not all done.
    fn carry_out(
        &self,
        batch: Vec<OwnedMessage>,
        early: &mut Vec<OwnedMessage>,
    ) -> Result<Option<Answered>, Failure> {
        let mut working = self.runtime.spawn(self.work.clone().batch(batch));
        let mut paused = false;
        let answered = loop {
            // The timer has to be made within the runtime.
            match self.runtime.block_on(async { timeout(STALL, &mut working).await }) {
                Ok(done) => break done?,
                Err(_) => {
                    paused = true;
                    self.consumer.pause(&self.consumer.assignment()?)?;
                    // A partition that came meanwhile is not paused yet.
                    early.extend(self.poll(Duration::ZERO)?);
                }
            }
        };
        if paused {
            self.consumer.resume(&self.consumer.assignment()?)?;
        }
        Ok(answered)
    }

    fn commit(&self, answered: &Answered) -> KafkaResult<()> {
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for (record, _) in answered {
            let offset = next.entry((record.topic(), record.partition())).or_default();
            *offset = (*offset).max(record.offset() + 1);
        }
        let mut offsets = TopicPartitionList::with_capacity(next.len());
        for ((topic, partition), offset) in next {
            offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        }
        if let Err(error) = self.consumer.commit(&offsets, CommitMode::Sync) {
            // Another member has the partition now: it gets the same commands, and the same answers.
            warn!(%error, "offsets of the command topic were not committed; their commands come again");
        }
        Ok(())
    }
}

impl Work {
    /// Carries out records, those of one key in their order; `None` when the program ends before all are done.
    async fn batch(self: Arc<Self>, batch: Vec<OwnedMessage>) -> Option<Answered> {
        let mut keyed: HashMap<Vec<u8>, Vec<OwnedMessage>> = HashMap::new();
        let mut lanes = Vec::new();
        for record in batch {
            match record.key() {
                Some(key) => keyed.entry(key.to_vec()).or_default().push(record),
                None => lanes.push(vec![record]),
            }
        }
        lanes.extend(keyed.into_values());
        let most = self.limits.concurrency;
        let lanes: Vec<Option<Answered>> =
            stream::iter(lanes).map(|lane| self.lane(lane)).buffer_unordered(most).collect().await;
        Some(lanes.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }

    async fn lane(&self, records: Vec<OwnedMessage>) -> Option<Answered> {
        let mut answered = Vec::with_capacity(records.len());
        for record in records {
            let Deps { contract, commands, principal, .. } = &self.deps;
            let command_id = record::command_id(&record);
            let keep = commands.0.config.keep;
            let outcome = match record::read(&record, command_id, principal, keep, contract.body_bytes_max) {
                Ok(request) => self.execute(request).await?.map_err(NotDone::Failed),
                Err(no) => Err(no),
            };
            let reply = contract.reply(command_id, outcome);
            counted(reply.status).increment(1);
            answered.push((record, reply));
        }
        Some(answered)
    }

    /// Carries a command out, however long the log is away, and a bounded number of times while others keep changing the
    /// aggregate; `None` when the program ends first.
    async fn execute(&self, request: Request) -> Option<Result<Answer, Error>> {
        let waits = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(self.limits.backoff_max)
            .without_max_times();
        let conflicts_max = self.deps.commands.0.config.background_attempts_max as usize;
        let mut conflicts = 0;
        for wait in waits.build() {
            let error = match self.deps.contract.execute(&self.deps.commands, request.clone()).await {
                Err(Error::Log(log::Error::Closed)) => return None,
                Err(error @ Error::Conflict { .. }) if conflicts + 1 < conflicts_max => {
                    conflicts += 1;
                    error
                }
                Err(error) if may_pass(&error) => error,
                outcome => return Some(outcome),
            };
            warn!(command_id = ?request.command_id, %error, "a command of the topic waits");
            self.stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
        }
        None
    }
}

fn counted(status: log::Status) -> metrics::Counter {
    metrics::counter!("annals_topic_commands_total", "status" => status.as_str())
}

/// Whether the log is at fault, not the command.
fn may_pass(error: &Error) -> bool {
    use log::Error::{Away, Database, Overloaded, Unknown};
    matches!(error, Error::Database(_) | Error::Log(Overloaded | Away(_) | Unknown(_) | Database(_)))
}
