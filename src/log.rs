//! The log: one order of all events, without gaps. The only module whose SQL writes events and commands; `audit` and `relay`
//! have SQL of their own for what they read and for their own tables.
//!
//! Writing goes through [`Appender`] alone: what arrives while a batch is on its way is sent together as the next one. Knows
//! stream types by name and data as JSON; leaves domains to `command` and Kafka to `relay`.

mod accepted;
mod appender;
mod batch;
mod check;
pub mod head;
mod identity;
mod published;
mod read;
mod session;
mod snapshot;
mod statement;

use std::{fmt, num::ParseIntError, str::FromStr};

pub use accepted::{Acceptance, Accepted, CommandLog};
pub use appender::{Appender, AppenderTask};
pub use check::{Unfit, check};
use chrono::{DateTime, Utc};
pub use identity::Identity;
pub use published::{Published, Subscription};
pub(crate) use read::event;
pub use read::{Events, Lag, LogReader, Partition, Recorded, Relayed, StreamType, StreamTypes};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot::error::RecvError;
use uuid::Uuid;

use crate::{
    aggregate::Claim,
    json::RawJson,
    postgres::{self, Failure},
};

/// Where an event stands in the whole log: 1, 2, 3 … without gaps. 0 is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

/// How many events a stream has, or which of them one is: 1, 2, 3 … 0 is a stream that does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stream: all events of one aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamId {
    pub stream_type: String,
    pub id: Uuid,
}

/// Who caused an event, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The authenticated caller.
    pub actor: String,
    pub command_id: Uuid,
    /// Of the whole conversation, chosen by the caller or by us.
    pub correlation_id: String,
    /// The event or command that led to this one, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// W3C Trace Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub position: Position,
    pub stream_type: String,
    pub stream_id: Uuid,
    pub version: Version,
    pub event_id: Uuid,
    pub event_type: String,
    /// Of `data`, as it was written.
    pub schema_version: i32,
    pub data: RawJson,
    /// A [`Metadata`].
    pub metadata: RawJson,
    pub recorded_at: DateTime<Utc>,
}

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Version 7, so that the log's ids are in the order of time.
    pub event_id: Uuid,
    pub event_type: String,
    pub schema_version: i32,
    pub data: RawJson,
    pub metadata: RawJson,
}

/// What the stream must be at for an append to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Exactly(Version),
    /// At this version, with this last event; for decisions on events not stored yet. Another event of that version is a
    /// conflict.
    Last(Version, Uuid),
    NoStream,
    Any,
}

/// One command's wish to append. A rejection is one too: of no events, at the version it was decided on.
#[derive(Debug, Clone)]
pub struct Append {
    /// Ours, always new; a repeat of the same append keeps it.
    pub command_id: Uuid,
    pub command_type: String,
    pub principal: String,
    /// The caller's, unique per principal.
    pub idempotency_key: Option<String>,
    /// Tells whether a repeated key comes with the same request.
    pub fingerprint: Vec<u8>,
    pub correlation_id: String,
    pub stream: StreamId,
    pub expected: Expected,
    pub events: Vec<NewEvent>,
    pub claims: Vec<Claim>,
    pub status: Status,
    /// What the caller is told; kept for repeats.
    pub answer: RawJson,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted to be done later.
    Pending,
    Done,
    /// The domain said no.
    Rejected,
    /// Given up after its tries.
    Failed,
}

/// A command's row: what its caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    pub command_id: Uuid,
    pub command_type: String,
    pub principal: String,
    pub correlation_id: String,
    pub stream: StreamId,
    pub status: Status,
    /// The stream's version after it, or the one a rejection was decided on.
    pub version: Option<Version>,
    /// First and last position of its events.
    pub positions: Option<(Position, Position)>,
    pub answer: Option<RawJson>,
    pub recorded_at: DateTime<Utc>,
}

/// What became of one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored. `positions` are of its events; `None` for a rejection.
    Appended { version: Version, positions: Option<(Position, Position)> },
    /// The command was answered already: its row. It is this append's own where it had to be sent again after a lost connection
    /// and had taken effect the first time.
    Duplicate(Box<CommandRecord>),
    /// The principal's key was used before for another request.
    FingerprintMismatch,
    /// The stream is at another version.
    Conflict { actual: Version },
    /// Another stream holds this value: the index into the append's claims.
    Claimed { claim: usize },
}

/// Why an append has no outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Never stored; say so to the caller.
    #[error("the append is refused: {0}")]
    Unfit(#[from] Unfit),
    /// Postgres refused this request's data, alone in its batch.
    #[error("the database refused the data: {0}")]
    Refused(String),
    /// The queue is full; nothing was stored.
    #[error("too many appends are waiting")]
    Overloaded,
    /// The database is away; nothing was stored.
    #[error("nothing was stored: {0}")]
    Away(String),
    /// It may have been stored or not; the same command id tells when asked again.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The program is ending; nothing was stored.
    #[error("the log is closing")]
    Closed,
    #[error("the log's database: {0}")]
    Database(String),
}

impl Error {
    /// Of a statement that was not sent.
    fn unsent(error: postgres::Error) -> Self {
        match error.failure() {
            Failure::Transient => Self::Away(error.to_string()),
            Failure::Data | Failure::Fatal => error.into(),
        }
    }
}

impl From<RecvError> for Error {
    /// Nobody is left who could answer. What was handed over may have been sent.
    fn from(_: RecvError) -> Self {
        Self::Unknown("the appender ended before it answered".into())
    }
}

impl From<postgres::Error> for Error {
    /// For statements that are their own transaction: a transient failure leaves their outcome unknown.
    fn from(error: postgres::Error) -> Self {
        match error.failure() {
            Failure::Data => Self::Refused(error.to_string()),
            Failure::Transient => Self::Unknown(error.to_string()),
            Failure::Fatal => Self::Database(error.to_string()),
        }
    }
}
