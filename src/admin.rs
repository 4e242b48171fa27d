//! Makes true what admins did: their actions are events first, and this is what follows from each.
//!
//! Whoever appended the event makes it true at once. What a process left undone when it died [`Admin::run`] does again,
//! where doing it twice does nothing: keys, and rebuilds, which have the id that the event names. The rest (pausing,
//! swapping, going back) happens at once or not at all, and is asked for again by whoever got no answer.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::{
    domain::admin::{Action, AdminEvent},
    json::RawJson,
    log::{Event, LogReader, Position},
    postgres,
    projector::Folder,
    rebuild,
};

const CURSOR: &str = include_str!("admin/cursor.sql");
const ADVANCE: &str = include_str!("admin/advance.sql");
const CREATE_KEY: &str = include_str!("admin/create_key.sql");
const REVOKE_KEY: &str = include_str!("admin/revoke_key.sql");
const PROJECTIONS: &str = include_str!("admin/projections.sql");
const HOLD: &str = include_str!("admin/hold.sql");

const STREAM_TYPE: &str = "admin";
/// Events looked at per step, and the wait between looks for what was left undone.
const EVENTS_PER_STEP: usize = 100;
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const BYTES_PER_STEP: usize = 4 << 20;

/// Why an effect was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("an admin's event cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Rebuild(#[from] rebuild::Error),
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Database(error.into())
    }
}

/// Makes effects. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// Of the log's database, as the writer.
    writer: Pool,
    /// Of the read models' database, as the projector.
    read: Pool,
    log: LogReader,
    folders: Arc<Vec<Folder>>,
}

/// How to rebuild, as it was asked for.
#[derive(Deserialize)]
struct Options {
    workers: Option<u16>,
    max_events_per_second: Option<u32>,
    swap: Option<rebuild::Swap>,
}

impl Admin {
    pub fn new(writer: Pool, read: Pool, folders: Vec<Folder>) -> Self {
        Self { log: LogReader::new(writer.clone()), writer, read, folders: Arc::new(folders) }
    }

    /// The read models' database.
    pub fn read(&self) -> &Pool {
        &self.read
    }

    /// The keys' database.
    pub fn writer(&self) -> &Pool {
        &self.writer
    }

    /// Projections as they stand: all, or the one of this name.
    pub async fn projections(&self, name: Option<&str>) -> Result<Vec<RawJson>, Error> {
        let head = self.log.head().await?;
        let rows = self.read.get().await?.query(PROJECTIONS, &[&name, &head.0]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// What a rebuild would take.
    pub async fn estimate(&self, projection: &str) -> Result<rebuild::Estimate, Error> {
        Ok(rebuild::estimate(&self.read, &self.log, projection).await?)
    }

    /// Makes true what the event at this position says.
    pub async fn carry_out(&self, position: Position) -> Result<(), Error> {
        match self.log.at(position).await? {
            Some(event) => self.make_true(&event, false).await,
            None => Ok(()),
        }
    }

    /// Does what was left undone, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let follow = async {
            loop {
                if let Err(error) = self.catch_up().await {
                    warn!(%error, "what admins did cannot be looked through; trying again");
                }
                sleep(LOOK_INTERVAL).await;
            }
        };
        shutdown.run_until_cancelled(follow).await;
    }

    async fn catch_up(&self) -> Result<(), Error> {
        let client = self.writer.get().await?;
        let mut at = Position(client.query_one(CURSOR, &[]).await?.get(0));
        let head = self.log.head().await?;
        let types = [STREAM_TYPE.to_owned()];
        while at < head {
            let events = self.log.after(at, Some(&types), EVENTS_PER_STEP, BYTES_PER_STEP).await?;
            for event in &events {
                match self.make_true(event, true).await {
                    Err(Error::Database(error)) => return Err(error.into()),
                    // What cannot be done (any more) was told to who asked for it.
                    Err(error) => {
                        warn!(position = event.position.0, %error, "an admin's action has no effect")
                    }
                    Ok(()) => {}
                }
            }
            at = events.last().map_or(head, |event| event.position);
            client.execute(ADVANCE, &[&at.0]).await?;
        }
        Ok(())
    }

    async fn make_true(&self, event: &Event, again: bool) -> Result<(), Error> {
        let tagged = format!("{{\"{}\":{}}}", event.event_type, event.data.as_str());
        let key_id = event.stream_id;
        match RawJson::trusted(tagged).parse()? {
            AdminEvent::KeyCreated { key_hash, name, roles, expires_at } => {
                let expires_at: Option<DateTime<Utc>> = expires_at
                    .and_then(|time| DateTime::parse_from_rfc3339(&time).ok())
                    .map(|time| time.to_utc());
                let client = self.writer.get().await?;
                client.execute(CREATE_KEY, &[&key_id, &key_hash, &name, &roles, &expires_at]).await?;
            }
            AdminEvent::KeyRevoked {} => {
                self.writer.get().await?.execute(REVOKE_KEY, &[&key_id]).await?;
            }
            AdminEvent::ActionRequested { action, .. } if again && action != Action::Rebuild => {}
            AdminEvent::ActionRequested { action, projection, rebuild_id, options } => {
                self.act(action, &projection, rebuild_id.unwrap_or_default(), options).await?;
            }
        }
        Ok(())
    }

    async fn act(&self, action: Action, projection: &str, id: Uuid, options: Value) -> Result<(), Error> {
        match action {
            Action::Rebuild => {
                let asked: Options = serde_json::from_value(options)?;
                let usual = rebuild::Options::default();
                let options = rebuild::Options {
                    workers: asked.workers.unwrap_or(usual.workers),
                    max_events_per_second: asked.max_events_per_second,
                    swap: asked.swap.unwrap_or_default(),
                };
                if matches!(rebuild::get(&self.read, id).await, Err(rebuild::Error::Unknown(_))) {
                    let folder = self.folders.iter().find(|folder| folder.name == projection);
                    rebuild::start(&self.read, id, projection, folder, options).await?;
                }
            }
            Action::PauseRebuild => drop(rebuild::pause(&self.read, id).await?),
            Action::ResumeRebuild => drop(rebuild::resume(&self.read, id).await?),
            Action::CancelRebuild => drop(rebuild::cancel(&self.read, id).await?),
            Action::SwapRebuild => drop(rebuild::swap(&self.read, id).await?),
            Action::RollBack => drop(rebuild::rollback(&self.read, projection).await?),
            Action::Pause | Action::Resume => {
                let held = action == Action::Pause;
                self.read.get().await?.execute(HOLD, &[&projection, &held]).await?;
            }
        }
        Ok(())
    }
}
