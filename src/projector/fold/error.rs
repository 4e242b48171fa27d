//! Why a chunk was not folded, and what to do about it.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    aggregate::DecodeError,
    log::{Event, Position},
    postgres::{self, Failure},
    projector::folder::statement_file,
};

/// Why a chunk was not folded. Nothing of it was, unless it is said otherwise.
#[derive(Debug, thiserror::Error)]
pub(in crate::projector) enum Error {
    /// It may pass.
    #[error("the database: {0}")]
    Database(#[from] postgres::Error),
    /// The database refuses the data of some event of the batch.
    #[error("the database refuses an event: {0}")]
    Data(#[source] tokio_postgres::Error),
    /// One event or one statement cannot go on. What comes before it may have been folded.
    #[error("{0}")]
    Poison(Box<Poison>),
    #[error("position {position}: {error}")]
    Unreadable { position: Position, error: DecodeError },
    #[error("paused")]
    Paused,
    #[error("{0}")]
    Stopped(String),
    /// A partition that has no checkpoint yet.
    #[error("a partition has no checkpoint yet")]
    NoCheckpoint,
    /// Another set of generations follows than this worker knows.
    #[error("the projection's generations changed")]
    Changed,
    /// A generation follows and does not stand where the live one does.
    #[error("generation {0} does not stand where the live one does")]
    Apart(i32),
    /// Somebody else moved a checkpoint that this worker held: not possible while its transaction lives.
    #[error("a checkpoint was moved by somebody else")]
    Lost,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// What made a projection stop.
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{statement} failed at position {position} (event {event_id} of {stream_type} {stream_id}): {error}")]
pub(in crate::projector) struct Poison {
    pub(in crate::projector) position: Position,
    event_id: Uuid,
    stream_type: String,
    stream_id: Uuid,
    event_type: String,
    /// The file whose statement failed.
    pub(in crate::projector) statement: String,
    pub(in crate::projector) error: String,
    pub(in crate::projector) sqlstate: Option<String>,
}

impl Poison {
    pub(super) fn new(event: &Event, error: &tokio_postgres::Error) -> Self {
        Self {
            position: event.position,
            event_id: event.event_id,
            stream_type: event.stream_type.clone(),
            stream_id: event.stream_id,
            event_type: event.event_type.clone(),
            statement: statement_file(&event.event_type),
            error: error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned()),
            sqlstate: error.code().map(|state| state.code().to_owned()),
        }
    }

    /// An event that would be one too many to be parked.
    pub(super) fn too_many(event: &Event, most: i64) -> Self {
        Self {
            position: event.position,
            event_id: event.event_id,
            stream_type: event.stream_type.clone(),
            stream_id: event.stream_id,
            event_type: event.event_type.clone(),
            statement: statement_file(&event.event_type),
            error: format!("more than {most} events would be parked (projector_parked_max)"),
            sqlstate: None,
        }
    }

    /// Whether it is about the event's own data (classes 21, 22 and 23), so that its stream may be parked.
    pub(super) fn is_data(&self) -> bool {
        self.sqlstate.as_ref().is_some_and(|state| matches!(state.get(..2), Some("21" | "22" | "23")))
    }
}

/// What the failure of a statement over these events means.
pub(super) fn of_statement(event: &Event, error: tokio_postgres::Error) -> Error {
    match postgres::classify(&error) {
        Failure::Transient => error.into(),
        Failure::Data => Error::Data(error),
        Failure::Fatal => Error::Poison(Box::new(Poison::new(event, &error))),
    }
}
