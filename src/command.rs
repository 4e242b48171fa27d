//! The one way of a command, wherever it comes from: check → fingerprint → load → decide → append → answer.
//!
//! Knows aggregates by their trait alone and nothing of HTTP. The invariant: a caller is told what the log stored, and a
//! "no" was true at a version the stream had between request and answer.

mod attempt;
mod hot;
mod seal;

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::{
    aggregate::{DecodeError, Registry, Rejection, Violation},
    config,
    json::RawJson,
    log::{self, Appender, Identity, LogReader, Position, StreamId, Version},
    postgres,
};
use attempt::Attempt;
use hot::HotAggregates;
use seal::Sealer;

/// A command as it comes in. Its body satisfies the published schema already.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its full name, such as `order.confirm`.
    pub command: String,
    /// The aggregate; `None` where the command begins one.
    pub stream_id: Option<Uuid>,
    pub body: Value,
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

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Answer {
    pub command_id: Uuid,
    pub stream: StreamId,
    pub correlation_id: String,
    /// The stream's version after it, or the one a rejection was decided on.
    pub version: Version,
    /// The last position it wrote; `None` where it wrote no event.
    pub position: Option<Position>,
    pub result: Result<RawJson, Rejection>,
    /// Whether this is the first answer to an earlier request with the same key.
    pub replayed: bool,
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
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Commands(Arc<Deps>);

/// What every command needs.
struct Deps {
    registry: Arc<Registry>,
    reader: LogReader,
    appender: Appender,
    identity: Identity,
    hot: HotAggregates,
    sealer: Sealer,
    config: config::Command,
}

impl Commands {
    pub fn new(
        registry: Arc<Registry>,
        reader: LogReader,
        appender: Appender,
        identity: Identity,
        config: config::Command,
    ) -> Self {
        let hot = HotAggregates::new(config.cache_aggregates_max);
        let sealer = Sealer::new(identity.clone());
        Self(Arc::new(Deps {
            registry,
            reader,
            appender,
            identity,
            hot,
            sealer,
            config,
        }))
    }

    /// Carries a command out and returns what was stored of it, now or at an earlier request with the same key.
    ///
    /// It goes on to its end even if the caller stops waiting: a connection that breaks loses no command half way.
    pub async fn execute(&self, request: Request) -> Result<Answer, Error> {
        let deps = self.0.clone();
        let executing = tokio::spawn(async move { deps.execute(request).await });
        executing
            .await
            .unwrap_or_else(|panic| Err(Error::Record(format!("the command's task failed: {panic}"))))
    }
}

impl Deps {
    async fn execute(&self, mut request: Request) -> Result<Answer, Error> {
        let (aggregate, command) = self
            .registry
            .command(&request.command)
            .ok_or_else(|| Error::UnknownCommand(request.command.clone()))?;
        let violations = aggregate.check(command.name, &request.body);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        let fingerprint = fingerprint(&self.identity, &request);
        let stream_id = match request.stream_id {
            Some(id) if !command.creates => id,
            _ => Uuid::now_v7(),
        };
        if command.secret {
            request.body = self
                .sealer
                .seal(&self.registry, command.name, stream_id, request.body)
                .await;
        }
        let stream = StreamId {
            stream_type: aggregate.stream_type().to_owned(),
            id: stream_id,
        };
        let attempt = Attempt {
            deps: self,
            aggregate,
            command,
            request: &request,
            stream,
            fingerprint,
        };
        let answer = attempt.run().await;
        let outcome = match &answer {
            Ok(Answer { replayed: true, .. }) => "replayed",
            Ok(Answer { result: Ok(_), .. }) => "done",
            Ok(_) => "rejected",
            Err(_) => "failed",
        };
        metrics::counter!("annals_commands_total", "command" => command.name, "outcome" => outcome)
            .increment(1);
        answer
    }
}

/// Tells whether a repeated key comes with the same request: a keyed hash of where it went and of its canonical body
/// (members sorted, numbers as written), so that nothing of the body can be read off the record.
fn fingerprint(identity: &Identity, request: &Request) -> Vec<u8> {
    identity.keyed_hash(&[request.target.as_bytes(), request.body.to_string().as_bytes()])
}
