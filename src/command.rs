//! The one way of a command, wherever it comes from: check → fingerprint → load → decide → append → answer.
//!
//! Knows aggregates by their trait alone and nothing of HTTP. The invariant: a caller is told what the log stored, and a
//! rejection was right at some version that the stream had between request and answer.

mod attempt;
pub mod background;
pub mod contract;
mod hot;
mod seal;
mod snapshot;
pub(crate) mod step;
pub mod subscriber;
pub mod topic;

use std::{future::Future, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinError, time::Instant};
use tracing::{Instrument, debug};
use uuid::Uuid;

use crate::{
    aggregate::{AnyAggregate, CommandType, DecodeError, Registry, Rejection, Violation},
    config,
    json::RawJson,
    log::{
        self, Appender, CommandLog, CommandRecord, Identity, LogReader, Position, Status, StreamId,
        Subscription, Version,
    },
    postgres,
};
use attempt::Attempt;
use hot::HotAggregates;
use seal::Sealer;
use snapshot::Snapshots;
use step::Step;

const CORRELATION_ID_BYTES_MAX: usize = 200;

/// Whether it may name a conversation: visible ASCII of 200 bytes at most.
pub(crate) fn is_correlation_id(text: &str) -> bool {
    (1..=CORRELATION_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A command as it comes in. Its body satisfies the published schema already.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the sender chose it: a repeat with the same id gets the first answer. `None`: a new one.
    pub command_id: Option<Uuid>,
    /// Its full name, such as `order.confirm`.
    pub command: String,
    /// The aggregate; `None` where the command begins one.
    pub stream_id: Option<Uuid>,
    pub body: Value,
    /// What the caller sent, if the body holds more; identifies repeats. `None`: the body.
    pub sent: Option<Value>,
    /// The authenticated caller.
    pub principal: String,
    pub idempotency_key: Option<String>,
    pub correlation_id: String,
    pub causation_id: Option<Uuid>,
    pub traceparent: Option<String>,
    /// The versions the caller insists on (`If-Match`); `None` where it does not.
    pub if_match: Option<Vec<Version>>,
    /// Where it was sent, such as `POST /api/orders`; part of the fingerprint.
    pub target: String,
}

/// What a caller is told of a command.
#[derive(Debug, Clone)]
pub struct Answer {
    pub command_id: Uuid,
    pub stream: StreamId,
    pub correlation_id: String,
    /// The stream's version after it, or the one a rejection was decided on.
    pub version: Version,
    /// The last position it wrote; where it was done without an event, that of its stream's last one.
    pub position: Option<Position>,
    pub outcome: Outcome,
    /// Whether this is the first answer to an earlier request with the same key.
    pub replayed: bool,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done; what the caller is told.
    Done(RawJson),
    /// The domain said no.
    Rejected(Rejection),
    /// Accepted, not done yet.
    Pending,
    /// Accepted and given up.
    Failed(Failure),
}

/// Why an accepted command was given up, as it is stored and told: nothing of the program's inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Its `If-Match` names another version than the aggregate is at.
    VersionMismatch { actual: Version },
    /// Others kept changing the aggregate.
    Conflict { attempts: usize },
    /// Something broke on our side, each time it was tried; the process that tried it logged what.
    Broken,
}

/// Why a command has no answer. None of these is stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no command `{0}`")]
    UnknownCommand(String),
    #[error("the body is not valid")]
    Invalid(Vec<Violation>),
    #[error("the idempotency key was used before for another request")]
    KeyReused,
    #[error("the aggregate is at version {actual}")]
    VersionMismatch { actual: Version },
    #[error("others kept changing the aggregate; given up after {attempts} attempts")]
    Conflict { attempts: usize },
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Database(#[from] postgres::Error),
    #[error("what the log holds of the command cannot be read: {0}")]
    Record(String),
    #[error("the command's task ended before it answered: {0}")]
    Panicked(JoinError),
}

impl Error {
    /// Whether it was refused as it came, or others were faster: nothing is broken.
    fn is_refusal(&self) -> bool {
        match self {
            Self::UnknownCommand(_)
            | Self::Invalid(_)
            | Self::KeyReused
            | Self::VersionMismatch { .. }
            | Self::Conflict { .. }
            | Self::Log(log::Error::Unfit(_)) => true,
            Self::Unreadable(_) | Self::Log(_) | Self::Database(_) | Self::Record(_) | Self::Panicked(_) => {
                false
            }
        }
    }
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Commands(Arc<Deps>);

/// What every command needs.
struct Deps {
    registry: Arc<Registry>,
    reader: LogReader,
    appender: Appender,
    rows: CommandLog,
    identity: Identity,
    hot: HotAggregates,
    snapshots: Snapshots,
    sealer: Sealer,
    config: config::Command,
    /// Wakes the background work of this process.
    accepted: Notify,
}

/// A request that was checked: ready to be decided, now or later.
struct Prepared {
    command_id: Uuid,
    stream_id: Uuid,
    fingerprint: Vec<u8>,
    /// Its secrets are sealed.
    request: Request,
}

impl Commands {
    /// `rows` writes, `reader` reads the same log.
    pub fn new(
        registry: Arc<Registry>,
        reader: LogReader,
        appender: Appender,
        rows: CommandLog,
        identity: Identity,
        config: config::Command,
    ) -> Self {
        let hot = HotAggregates::new(config.cache_aggregates_max);
        let snapshots = Snapshots::new(config.snapshot_events);
        let sealer = Sealer::new(identity.clone());
        let accepted = Notify::new();
        Self(Arc::new(Deps {
            registry,
            reader,
            appender,
            rows,
            identity,
            hot,
            snapshots,
            sealer,
            config,
            accepted,
        }))
    }

    /// Carries a command out and returns what was stored of it, now or at an earlier request with the same key.
    ///
    /// It goes on to its end even if the caller stops waiting: a connection that breaks loses no command half way.
    pub async fn execute(&self, request: Request) -> Result<Answer, Error> {
        let deps = self.0.clone();
        let span = tracing::info_span!("command", command = request.command);
        let carried_out = async move {
            let prepared = deps.prepare(request).await?;
            deps.placed(deps.carry_out(&prepared).await?).await
        };
        uninterrupted(carried_out.instrument(span)).await
    }

    /// Accepts a command to be done later; returns `Pending`, or the answer to an earlier request with the same key.
    pub async fn accept(&self, request: Request) -> Result<Answer, Error> {
        let deps = self.0.clone();
        uninterrupted(async move {
            let prepared = deps.prepare(request).await?;
            deps.placed(deps.accept(prepared).await?).await
        })
        .await
    }

    /// The events that commands of this process lead to, from now on (see [`subscriber`]).
    pub fn subscribe(&self) -> Subscription {
        self.0.appender.subscribe()
    }

    /// What became of a command of this principal; `None` where there is no such.
    pub async fn find(&self, command_id: Uuid, principal: &str) -> Result<Option<Answer>, Error> {
        let row = self.0.in_time(self.0.rows.find(command_id)).await?;
        let record = row.map(|row| CommandRecord::read(&row)).transpose()?;
        match record.filter(|record| record.principal == principal) {
            Some(record) => Ok(Some(self.0.placed(answer(record)?).await?)),
            None => Ok(None),
        }
    }
}

/// Runs to the end whatever happens to the caller.
async fn uninterrupted(
    work: impl Future<Output = Result<Answer, Error>> + Send + 'static,
) -> Result<Answer, Error> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::Panicked(error)))
}

impl Deps {
    /// A type of command, and whose it is.
    fn command(&self, name: &str) -> Result<(&dyn AnyAggregate, CommandType), Error> {
        self.registry.command(name).ok_or_else(|| Error::UnknownCommand(name.to_owned()))
    }

    /// Checks and seals a request.
    async fn prepare(&self, mut request: Request) -> Result<Prepared, Error> {
        let (aggregate, command) = self.command(&request.command)?;
        let violations = aggregate.check(command.name, &request.body);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        let step = Step::start("fingerprint", &request.correlation_id);
        let sent = request.sent.as_ref().unwrap_or(&request.body);
        let fingerprint = if command.secret {
            let from = (&*request.principal, &*request.target);
            let sealed = self.sealer.seal_for_fingerprint(&self.registry, command.name, from, sent.clone());
            fingerprint(&self.identity, &request.target, &sealed.await?)
        } else {
            fingerprint(&self.identity, &request.target, sent)
        };
        drop(step);
        let stream_id = match request.stream_id {
            Some(id) if !command.creates => id,
            _ => Uuid::now_v7(),
        };
        if command.secret {
            request.body = self.sealer.seal(&self.registry, command.name, stream_id, request.body).await?;
        }
        let command_id = request.command_id.unwrap_or_else(Uuid::now_v7);
        Ok(Prepared { command_id, stream_id, fingerprint, request })
    }

    /// The answer with a position also where nothing was written: a read that waits for it sees what was decided on.
    async fn placed(&self, answer: Answer) -> Result<Answer, Error> {
        if answer.position.is_some() || !matches!(answer.outcome, Outcome::Done(_)) {
            return Ok(answer);
        }
        let before = Version(answer.version.0 - 1);
        match self.in_time(self.reader.stream(&answer.stream, before, 1)).await {
            Ok(last) => Ok(Answer { position: last.events.first().map(|last| last.position), ..answer }),
            // It is done, whatever else is not known of it.
            Err(error) if error.failure() == postgres::Failure::Transient => Ok(answer),
            Err(error) => Err(error.into()),
        }
    }

    /// What the log's database answers in time; else everybody who waits for the same aggregate would wait too.
    async fn in_time<T, E: From<postgres::Error>>(
        &self,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        postgres::in_time(self.config.database_timeout, asking, || self.reader.give_up_connections()).await
    }

    /// Loads, decides and appends.
    async fn carry_out(&self, prepared: &Prepared) -> Result<Answer, Error> {
        let request = &prepared.request;
        let (aggregate, command) = self.command(&request.command)?;
        let started = Instant::now();
        let answer = Attempt::new(self, aggregate, command, prepared).run().await;
        let outcome = match &answer {
            Ok(Answer { replayed: true, .. }) => "replayed",
            Ok(Answer { outcome: Outcome::Done(_), .. }) => "done",
            Ok(_) => "rejected",
            Err(error) if error.is_refusal() => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("annals_commands_total", "command" => command.name, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("annals_command_seconds", "command" => command.name).record(started.elapsed());
        debug!(command = command.name, id = %prepared.command_id, correlation = request.correlation_id, outcome);
        answer
    }
}

/// What a command's row says to its caller.
fn answer(record: CommandRecord) -> Result<Answer, Error> {
    let unreadable = |error: serde_json::Error| Error::Record(error.to_string());
    let stored = || record.answer.clone().ok_or_else(|| Error::Record("its row holds no answer".into()));
    let outcome = match record.status {
        Status::Done => Outcome::Done(stored()?),
        Status::Rejected => Outcome::Rejected(stored()?.parse().map_err(unreadable)?),
        // A newer program may know more reasons.
        Status::Failed => Outcome::Failed(stored()?.parse().unwrap_or(Failure::Broken)),
        Status::Pending => Outcome::Pending,
    };
    Ok(Answer {
        command_id: record.command_id,
        stream: record.stream,
        correlation_id: record.correlation_id,
        version: record.version.unwrap_or_default(),
        position: record.positions.map(|(_, last)| last),
        outcome,
        replayed: true,
    })
}

/// Tells whether a repeated key comes with the same request: a keyed hash of where it went and of its canonical body
/// (members sorted, numbers as written), so that nothing of the body can be read off the record.
fn fingerprint(identity: &Identity, target: &str, sent: &Value) -> Vec<u8> {
    identity.keyed_hash(&[target.as_bytes(), sent.to_string().as_bytes()])
}
