//! What is parked, looked at and mended by a person: list, retry, skip.
//!
//! A stream is mended under the lock of its partition's checkpoint, so no worker folds it meanwhile, and in order: its
//! events are folded one after the other, up to the first that is refused still. In every generation that follows, each
//! with its own folder.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use serde::Serialize;
use uuid::Uuid;

use super::{
    checkpoint::{self, Whose},
    fold,
    generation::{self, Generation},
};
use crate::{
    aggregate::Registry,
    config,
    log::{LogReader, Partition, Position, StreamId},
    postgres,
};

const LIST: &str = include_str!("parked/list.sql");
const PARTITION: &str = include_str!("parked/partition.sql");
const STREAM_TYPE: &str = include_str!("parked/stream_type.sql");
const STREAM: &str = include_str!("parked/stream.sql");
const REFUSED: &str = include_str!("parked/refused.sql");
const RELEASE: &str = include_str!("parked/release.sql");

/// An event that is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    pub generation: i32,
    pub position: i64,
    pub stream_type: String,
    pub stream_id: Uuid,
    pub version: i64,
    pub event_id: Uuid,
    pub event_type: String,
    /// The file whose statement failed; `None`: it only waits behind an earlier event of its stream.
    pub statement: Option<String>,
    pub error: Option<String>,
    pub at: DateTime<Utc>,
}

/// What became of a stream's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Mended {
    pub applied: i64,
    pub skipped: i64,
    /// Still parked.
    pub left: i64,
}

/// Why nothing was mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the stream is not parked")]
    NotParked,
    /// Mends itself, or has to be mended elsewhere.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<fold::Error> for Error {
    fn from(error: fold::Error) -> Self {
        match error {
            fold::Error::Database(error) => Self::Database(error),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<generation::Error> for Error {
    fn from(error: generation::Error) -> Self {
        match error {
            generation::Error::Database(error) => Self::Database(error),
            generation::Error::Refused(reason) => Self::Refused(reason),
        }
    }
}

/// What the live generation of a projection has parked, in the log's order, after a position.
pub async fn list(
    read: &Pool,
    projection: &str,
    after: Position,
    limit: i64,
) -> Result<Vec<Parked>, postgres::Error> {
    let client = read.get().await?;
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[&projection, &after.0, &limit]).await?;
    let parked = |row: &tokio_postgres::Row| Parked {
        generation: row.get(0),
        position: row.get(1),
        stream_type: row.get(2),
        stream_id: row.get(3),
        version: row.get(4),
        event_id: row.get(5),
        event_type: row.get(6),
        statement: row.get(7),
        error: row.get(8),
        at: row.get(9),
    };
    Ok(rows.iter().map(parked).collect())
}

/// Whether some generation of a projection has parked a stream.
pub async fn is_parked(read: &Pool, projection: &str, stream: &StreamId) -> Result<bool, postgres::Error> {
    let row = read.get().await?.query_opt(PARTITION, &[&projection, &stream.stream_type, &stream.id]).await?;
    Ok(row.is_some())
}

/// The type of a stream that the live generation of a projection has parked; by its id, the first where several have
/// the same.
pub async fn stream_type(read: &Pool, projection: &str, id: Uuid) -> Result<Option<String>, postgres::Error> {
    let row = read.get().await?.query_opt(STREAM_TYPE, &[&projection, &id]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// What is done about a stream that is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    Retry,
    Skip,
}

/// What mending needs.
pub struct Mender<'a> {
    /// The read models' database, as the projector's role.
    pub read: &'a Pool,
    pub log: &'a LogReader,
    pub registry: &'a Registry,
    pub limits: &'a config::Projector,
}

impl Mender<'_> {
    /// Folds what is parked of a stream, in order, as far as that goes now.
    pub async fn retry(&self, projection: &str, stream: &StreamId) -> Result<Mended, Error> {
        self.mend(projection, stream, Remedy::Retry).await
    }

    /// Leaves out for good the first event that the live generation has parked, in every generation, and goes on with
    /// the others.
    pub async fn skip(&self, projection: &str, stream: &StreamId) -> Result<Mended, Error> {
        self.mend(projection, stream, Remedy::Skip).await
    }

    /// Returns what became of it in the live generation, or in another one where the live one has nothing parked.
    async fn mend(&self, projection: &str, stream: &StreamId, remedy: Remedy) -> Result<Mended, Error> {
        let mut client = self.read.get().await.map_err(postgres::Error::from)?;
        let mut transaction = client.transaction().await?;
        fold::begin(&transaction, projection, self.limits).await?;
        let row = transaction.query_opt(PARTITION, &[&projection, &stream.stream_type, &stream.id]).await?;
        let number = row.ok_or(Error::NotParked)?.get(0);
        let partition = Partition { stream_type: stream.stream_type.clone(), number };
        let whose = Whose::Followers;
        checkpoint::lock_settled(&transaction, projection, std::slice::from_ref(&partition), whose).await?;
        // The live one is the first.
        let generations = generation::following(&transaction, projection).await?;
        if let Some(event) = generations.iter().find_map(|generation| generation.newer_event(self.registry)) {
            // In today's form the newer statements would write wrong rows.
            return Err(Error::Refused(format!(
                "a newer program's `{event}` is folded here; ask one of those"
            )));
        }
        let skipped = match (remedy, generations.first()) {
            (Remedy::Skip, Some(live)) => {
                Some(*positions(&transaction, live, stream).await?.first().ok_or(Error::NotParked)?)
            }
            _ => None,
        };
        let mut mended = Vec::new();
        for generation in &generations {
            mended.push(self.mend_in(&mut transaction, generation, &partition, stream, skipped).await?);
        }
        let told = mended.into_iter().find(|mended| *mended != Mended::default()).ok_or(Error::NotParked)?;
        transaction.commit().await?;
        Ok(told)
    }

    async fn mend_in(
        &self,
        transaction: &mut Transaction<'_>,
        generation: &Generation,
        partition: &Partition,
        stream: &StreamId,
        skipped: Option<i64>,
    ) -> Result<Mended, Error> {
        let (name, number) = (&generation.folder.name, generation.number);
        let positions = positions(transaction, generation, stream).await?;
        fold::enter(transaction, generation).await?;
        // Another generation may have parked the stream earlier, later or not at all; it is the same event that is left out.
        let mut released: Vec<i64> =
            positions.iter().copied().filter(|position| Some(*position) == skipped).collect();
        let skips = released.len();
        for position in positions.iter().filter(|position| Some(**position) != skipped) {
            let event = self.log.at(Position(*position)).await?;
            let event =
                event.ok_or_else(|| Error::Refused(format!("the log ends before position {position}")))?;
            let event =
                fold::upcast(self.registry, &event).map_err(|error| Error::Refused(error.to_string()))?;
            if let Err(poison) = fold::run_one(transaction, generation, &event).await? {
                let (statement, state, error) = (poison.statement, poison.sqlstate, poison.error);
                transaction.execute(REFUSED, &[name, &number, position, &statement, &state, &error]).await?;
                break;
            }
            released.push(*position);
        }
        let (skipped, applied) = (skips as i64, (released.len() - skips) as i64);
        let Partition { stream_type, number: partition } = partition;
        transaction
            .execute(RELEASE, &[name, &number, &released, stream_type, partition, &applied, &skipped])
            .await?;
        Ok(Mended { applied, skipped, left: (positions.len() - released.len()) as i64 })
    }
}

/// The positions that a generation has parked of a stream, in order.
async fn positions(
    transaction: &Transaction<'_>,
    generation: &Generation,
    stream: &StreamId,
) -> Result<Vec<i64>, Error> {
    let (name, number) = (&generation.folder.name, generation.number);
    let rows = transaction.query(STREAM, &[name, &number, &stream.stream_type, &stream.id]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
