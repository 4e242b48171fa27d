//! The worker of one projection: takes what its source delivers and folds it, until the shutdown.
//!
//! Never gives an event up: what may pass is tried again, what cannot pass is said and waited for. Dropping a worker at
//! any point is safe, because rows and checkpoints move in one transaction.

mod behind;
mod from_kafka;
mod from_log;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::behind::Followed;
use super::{
    Deps, Folder,
    batch::{Checkpoints, Chunk, Filled},
    checkpoint,
    fold::{Error, Fold, Folded},
    folder::Order,
    generation::{self, Generation},
    progress::Status,
};
use crate::{config, log::StreamTypes, postgres};

/// A worker that nobody waits for and that is not behind folds for one part in so many of its time.
const FOLD_SHARE: u32 = 5;
/// First wait after an error that may pass.
const BACKOFF_MIN: Duration = Duration::from_millis(20);

/// Works for a folder's projection until the shutdown.
pub(super) async fn run(
    deps: Deps,
    folder: Folder,
    kafka: Option<config::Kafka>,
    limits: config::Projector,
    shutdown: CancellationToken,
) {
    let (generations, stream_types) = (Vec::new(), StreamTypes::new());
    let (known, followed) = (Checkpoints::new(), watch::Sender::default());
    let telling = behind::tell(deps.clone(), folder.name.clone(), limits.poll_interval, followed.subscribe());
    let mut worker =
        Worker { deps, folder, limits, generations, stream_types, known, followed, begun: false, away: None };
    let work = async {
        tokio::select! {
            () = worker.work(kafka.as_ref()) => {}
            never = telling => match never {},
        }
    };
    shutdown.run_until_cancelled(work).await;
    worker.say(Status::Idle);
}

struct Worker {
    deps: Deps,
    folder: Folder,
    limits: config::Projector,
    /// Every generation that follows; the first is the live one.
    generations: Vec<Generation>,
    /// Those of the folder that are in the log.
    stream_types: StreamTypes,
    /// Where partitions stood when they were last folded or looked at: a hint, which a fold checks against the locked
    /// rows. Those that are not here may stand anywhere.
    known: Checkpoints,
    /// For those who tell how far it is behind.
    followed: watch::Sender<Followed>,
    /// Whether it worked before; a new process tries a stopped projection once more.
    begun: bool,
    /// Why its source delivers nothing for now.
    away: Option<String>,
}

/// Why a worker begins again.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Database(#[from] postgres::Error),
    #[error("Kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error("the Kafka consumer ended")]
    ConsumerEnded,
    #[error("a topic was made anew")]
    TopicAnew,
    #[error("the projection's generations read other streams now")]
    SourceChanged,
    #[error(
        "generation {generation} reads `{event}` in a newer form than this program knows: a newer program feeds it"
    )]
    Newer { generation: i32, event: String },
}

impl From<generation::Error> for Interruption {
    fn from(error: generation::Error) -> Self {
        match error {
            generation::Error::Refused(reason) => Self::Refused(reason),
            generation::Error::Database(error) => Self::Database(error),
        }
    }
}

impl Worker {
    /// Works for ever, beginning again after whatever interrupts it.
    async fn work(&mut self, kafka: Option<&config::Kafka>) {
        let mut waits = self.waits();
        loop {
            let interruption = match self.open().await {
                Ok(()) => {
                    waits = self.waits();
                    let kafka = kafka.filter(|_| self.order() == Order::Stream);
                    match kafka {
                        Some(kafka) => self.follow_kafka(kafka).await,
                        None => self.follow_log().await,
                    }
                }
                Err(interruption) => interruption,
            };
            self.followed.send_replace(Followed::Nothing);
            match interruption {
                Interruption::Refused(reason) => self.say(Status::Refused { reason }),
                Interruption::Database(error) => self.say(Status::waiting_for_database(error)),
                other => self.say(Status::waiting(other)),
            }
            tokio::time::sleep(waits.next().unwrap_or(self.limits.backoff_max)).await;
        }
    }

    /// Finds or makes the generation, and refuses one that this log and this program cannot go on with.
    async fn open(&mut self) -> Result<(), Interruption> {
        generation::refuse(&self.folder.check(&self.deps.registry))?;
        let generations = generation::open(&self.deps, &self.folder).await?;
        for generation in &generations {
            if let Some(event) = generation.newer_event(&self.deps.registry) {
                return Err(Interruption::Newer { generation: generation.number, event: event.to_owned() });
            }
        }
        // Before the head, beyond which another worker may come meanwhile.
        let stored = checkpoint::read(&self.deps.read, &self.folder.name, None).await?;
        let head = self.deps.reader.head().await?;
        for stored in stored {
            if stored.log_id != self.deps.log_id || stored.position > head {
                return Err(Interruption::Refused(format!(
                    "its rows are of another log, or of this one before a restore: checkpoint {} of log {}, and this \
                     log {} ends at {head}. `annals migrate --new-incarnation` begins anew",
                    stored.position, stored.log_id, self.deps.log_id
                )));
            }
        }
        if !std::mem::replace(&mut self.begun, true) {
            generation::resume(&self.deps.read, &self.folder.name).await?;
        }
        self.generations = generations;
        self.stream_types = StreamTypes::new();
        self.refresh().await?;
        self.say(Status::Running);
        Ok(())
    }

    /// The order that every generation can follow.
    fn order(&self) -> Order {
        let global = self.generations.iter().any(|generation| generation.folder.order == Order::Global);
        if global { Order::Global } else { Order::Stream }
    }

    /// Finds the generations anew; an interruption where they need another source.
    async fn reopen(&mut self) -> Result<(), Interruption> {
        let source = |worker: &Self| (worker.order(), generation::stream_types(&worker.generations));
        let before = source(self);
        self.open().await?;
        if source(self) == before { Ok(()) } else { Err(Interruption::SourceChanged) }
    }

    /// Takes up stream types that are new in the log.
    async fn refresh(&mut self) -> Result<(), postgres::Error> {
        let wanted = generation::stream_types(&self.generations);
        let mut known = self.deps.reader.stream_types().await?;
        known.retain(|stream_type, _| wanted.contains(stream_type));
        if known != self.stream_types {
            for generation in &self.generations {
                let (read, log_id) = (&self.deps.read, self.deps.log_id);
                checkpoint::ensure(read, &self.folder.name, generation.number, log_id, &known).await?;
            }
            self.stream_types = known;
        }
        Ok(())
    }

    /// Knows every stream type that had its first event by now: asked after the head, so that nothing up to it is passed over.
    async fn know_stream_types(&mut self) -> Result<(), postgres::Error> {
        let wanted = generation::stream_types(&self.generations);
        if !wanted.iter().all(|name| self.stream_types.contains_key(name)) {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Folds a chunk once, however often that has to be tried. `filled`: what was read of the log for it, where it was.
    async fn fold(&mut self, chunk: &Chunk, filled: Option<&Filled>) -> Result<Folded, Interruption> {
        let mut waits = self.waits();
        loop {
            let fold = Fold {
                deps: &self.deps,
                generations: &self.generations,
                stream_types: &self.stream_types,
                limits: &self.limits,
                loading: false,
                filled,
            };
            let failed = match fold.run(chunk).await {
                Ok(folded) => {
                    self.known.extend(folded.checkpoints.iter().cloned());
                    self.report(&folded);
                    return Ok(folded);
                }
                Err(error) => error,
            };
            // A database that crashed may have gone back.
            self.known.clear();
            let wait = match failed {
                Error::Changed => {
                    self.reopen().await?;
                    BACKOFF_MIN
                }
                Error::Apart(generation) => {
                    fold.detach(generation, &failed.to_string()).await?;
                    BACKOFF_MIN
                }
                Error::NoCheckpoint => {
                    self.stream_types = StreamTypes::new();
                    self.refresh().await?;
                    BACKOFF_MIN
                }
                Error::Paused => self.held(Status::Paused),
                Error::Stopped(reason) => self.held(Status::Stopped { reason }),
                Error::Poison(poison) => {
                    let client = self.deps.read.get().await.map_err(postgres::Error::from)?;
                    fold.stop(&client, &poison).await?;
                    self.held(Status::Stopped { reason: poison.to_string() })
                }
                passing => {
                    self.say(Status::waiting_for_database(passing));
                    waits.next().unwrap_or(self.limits.backoff_max)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Stands still; returns how long until it is worth asking again.
    fn held(&self, status: Status) -> Duration {
        self.say(status);
        self.limits.poll_interval
    }

    /// Lets more events gather after folds that began then and passed so many, unless somebody waits for this projection:
    /// the longer, the longer they took. Where events come one by one there is nothing to gather.
    async fn rest(&self, began: Instant, passed: u64) {
        if passed <= 1 {
            return;
        }
        let interval = interval(began.elapsed(), &self.limits);
        let wanted = self.deps.progress.wanted(&self.folder.name);
        // Out of time is what is expected here.
        let _ = timeout_at(began + interval, wanted).await;
    }

    fn waits(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(self.limits.backoff_max)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// The status of a worker whom nothing stops.
    fn going(&self) -> Status {
        self.away.as_ref().map_or(Status::Running, Status::waiting)
    }

    fn report(&self, folded: &Folded) {
        let name = || self.folder.name.clone();
        if !folded.taken {
            self.say(self.going());
        }
        metrics::counter!("annals_projection_applied_total", "projection" => name())
            .increment(folded.applied);
        metrics::counter!("annals_projection_ignored_total", "projection" => name())
            .increment(folded.ignored);
        metrics::counter!("annals_projection_parked_total", "projection" => name()).increment(folded.parked);
        self.deps.progress.advance(&self.folder.name, folded.checkpoints.iter().cloned());
    }

    /// Tells the status to those who watch, and the log when it changes.
    fn say(&self, status: Status) {
        let projection = &self.folder.name;
        if !self.deps.progress.set_status(projection, status.clone()) {
            return;
        }
        match status {
            Status::Refused { reason } | Status::Stopped { reason } => {
                error!(projection, reason, "the projection stands still")
            }
            Status::Waiting { reason, .. } => warn!(projection, reason, "the projection waits"),
            Status::Paused => info!(projection, "the projection is paused"),
            Status::Running => info!(projection, "the projection follows the log"),
            Status::Idle => {}
        }
    }
}

/// From the beginning of a fold that took so long to that of the next one.
fn interval(took: Duration, limits: &config::Projector) -> Duration {
    (took * FOLD_SHARE).min(limits.fold_interval_max).max(limits.fold_interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn a_worker_nobody_waits_for_folds_for_a_part_of_its_time() {
        let sources = Sources::of([("database_url", "postgres://localhost/annals".into())]);
        let limits = Config::from_sources(sources).unwrap().projector;
        let after = |took| interval(Duration::from_millis(took), &limits).as_millis();
        assert_eq!([1, 2, 4, 20, 500].map(after), [10, 10, 20, 30, 30]);
    }
}
