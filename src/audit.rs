//! What auditors ask of the log: its events, streams and commands, who asked before, and whether all of it holds.
//!
//! Leaves HTTP to `api`. The invariant: nothing here writes an event; each request is noted in `log.access` before it is
//! answered.

mod access;
mod commands;
mod events;
mod export;
pub mod index;
mod live;
mod streams;
mod verifications;
mod verify;

use std::{pin::pin, sync::Arc, time::Duration};

pub use access::Access;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool, Transaction};
pub use events::{Filter, Found, Traced};
pub use export::Format;
use futures_util::TryStreamExt;
pub use streams::{At, State, Summary};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_postgres::{Row, error::SqlState, types::ToSql};
pub use verify::{Fault, Progress, Report};

use crate::{
    aggregate::{DecodeError, Registry},
    config,
    log::{Event, LogReader, Position, event},
    postgres,
};

const STATEMENT_TIMEOUT: &str = include_str!("audit/statement_timeout.sql");
const FLUSH: &str = include_str!("log/flush.sql");
/// Bytes of data in one answer to who asks for events, and somewhat more.
const EVENTS_BYTES_MAX: usize = 16 << 20;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the auditors' index does not follow the log")]
    Behind,
    #[error("too many ask for the same already")]
    Overloaded,
    /// It was given up after `statement_timeout`.
    #[error("the question took too long")]
    TooSlow,
    /// More may still be recorded in the time asked for.
    #[error("the time asked for is not over: the database's clock says {now}")]
    NotOver { now: DateTime<Utc> },
    /// The history holds what this program cannot read.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::QUERY_CANCELED) => Self::TooSlow,
            _ => Self::Database(error.into()),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Database(error.into())
    }
}

/// Answers auditors. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    /// Of the role that may only read.
    reader: Pool,
    /// Notes accesses, nothing else.
    writer: Pool,
    log: LogReader,
    registry: Arc<Registry>,
    /// Of the log, as far as this process has heard.
    head: watch::Receiver<Position>,
    /// How far the index reaches.
    indexed: watch::Receiver<Position>,
    listeners: Arc<Semaphore>,
    /// One verification at a time.
    verifying: Arc<Semaphore>,
    config: config::Audit,
}

impl Audit {
    /// `indexed` is what [`index::run`] tells.
    pub fn new(
        reader: Pool,
        writer: Pool,
        registry: Arc<Registry>,
        head: watch::Receiver<Position>,
        indexed: watch::Receiver<Position>,
        config: config::Audit,
    ) -> Self {
        let listeners = Arc::new(Semaphore::new(config.listeners_max));
        let log = LogReader::new(reader.clone());
        let verifying = Arc::new(Semaphore::new(1));
        Self { reader, writer, log, registry, head, indexed, listeners, verifying, config }
    }

    /// How often those who listen are sent a comment.
    pub fn heartbeat(&self) -> Duration {
        self.config.heartbeat
    }

    /// How far the index reaches: to the head there was when asked, unless it takes too long.
    async fn reach(&self) -> Result<Position, Error> {
        let head = self.log.head().await?;
        let mut indexed = self.indexed.clone();
        // What comes of waiting is looked at below either way.
        let _ = timeout(self.config.index_wait, indexed.wait_for(|indexed| *indexed >= head)).await;
        let reached = *indexed.borrow();
        Ok(reached)
    }

    /// Waits until the index reaches a position, as long as it moves.
    async fn reach_all(&self, position: Position) -> Result<(), Error> {
        let mut before = None;
        loop {
            let reached = self.reach().await?;
            if reached >= position {
                return Ok(());
            }
            if before.replace(reached) == Some(reached) {
                return Err(Error::Behind);
            }
        }
    }

    /// The events of one statement, within its time, and whether there were more than fit.
    async fn events_of(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Event>, bool), Error> {
        let mut client: Object = self.reader.get().await?;
        let transaction = self.begin(&mut client).await?;
        let statement = transaction.prepare_cached(sql).await?;
        let (mut events, mut bytes) = (Vec::new(), 0);
        // Dropped before the transaction ends, so that the rows beyond the limit are not gathered.
        {
            let mut rows = pin!(transaction.query_raw(&statement, parameters.iter().copied()).await?);
            while bytes < EVENTS_BYTES_MAX
                && let Some(row) = rows.try_next().await?
            {
                let event = event(&row);
                bytes += event.data.as_str().len();
                events.push(event);
            }
        }
        end(transaction).await?;
        Ok((events, bytes >= EVENTS_BYTES_MAX))
    }

    /// Rows of one statement, within its time.
    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let mut client: Object = self.reader.get().await?;
        let transaction = self.begin(&mut client).await?;
        let statement = transaction.prepare_cached(sql).await?;
        let rows = transaction.query(&statement, parameters).await?;
        end(transaction).await?;
        Ok(rows)
    }

    async fn begin<'c>(&self, client: &'c mut Object) -> Result<Transaction<'c>, Error> {
        let transaction = client.transaction().await?;
        let time = self.config.statement_timeout.as_millis().to_string();
        transaction.execute(STATEMENT_TIMEOUT, &[&time]).await?;
        Ok(transaction)
    }
}

/// What was seen is told once it is on the disk.
async fn end(transaction: Transaction<'_>) -> Result<(), Error> {
    let flush = transaction.prepare_cached(FLUSH).await?;
    transaction.execute(&flush, &[]).await?;
    Ok(transaction.commit().await?)
}
