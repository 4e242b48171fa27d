//! Applies what admins' events request: each action is an event first, and this is what follows from it.
//!
//! Whoever appended the event applies it at once. What a process left undone when it died, [`Admin::run`] applies again,
//! where applying it twice changes nothing: keys, rebuilds, which have the id that the event names, and dropping a projection,
//! of which the event says when it was made. The rest (pausing, swapping, going back) happens at once or not at all, and is asked
//! for again by whoever got no answer.

mod dropping;
mod reconcile;
mod request;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
pub use reconcile::{Reconciled, Reconciling};
pub use request::Asker;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::{
    aggregate::{self, DecodeError, Registry, Rejection},
    command::{self, Commands},
    config::{self, Config},
    domain::{
        self,
        admin::{Action, AdminEvent},
    },
    json::RawJson,
    log::{Event, LogReader, Position, StreamId},
    postgres,
    projector::{
        self, Folder,
        parked::{self, Mended, Mender, Parked},
    },
    rebuild, relay,
    trouble::Trouble,
};

const CURSOR: &str = include_str!("admin/cursor.sql");
const ADVANCE: &str = include_str!("admin/advance.sql");
const CREATE_KEY: &str = include_str!("admin/create_key.sql");
const REVOKE_KEY: &str = include_str!("admin/revoke_key.sql");
const PROJECTIONS: &str = include_str!("admin/projections.sql");

const STREAM_TYPE: &str = "admin";
/// Events whose effects are made at most in one step of catching up.
const EVENTS_PER_STEP: usize = 100;
/// Bytes of data of these.
const BYTES_PER_STEP: usize = 4 << 20;
/// Positions of the log looked through for them in one step.
const POSITIONS_PER_STEP: i64 = 100_000;
/// The wait between two looks for events whose effects are missing.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Why an effect was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("an admin's event cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    #[error("the options of an admin's action cannot be read: {0}")]
    Options(#[from] serde_json::Error),
    #[error("{}", .0.detail)]
    Rejected(Rejection),
    #[error(
        "the folder of `{0}` is still here, and workers would make the projection anew: remove the folder, start the \
         servers without it, and drop the projection then"
    )]
    HasFolder(String),
    #[error("no Kafka is configured")]
    NoKafka,
    #[error("topics are being compared with the log already")]
    Reconciling,
    #[error(transparent)]
    Command(#[from] command::Error),
    #[error(transparent)]
    Parked(#[from] parked::Error),
    #[error(transparent)]
    Relay(#[from] relay::Error),
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
    databases: config::Databases,
    /// Of the log's database, as the writer.
    writer: Pool,
    /// Of the read models' database, as the projector.
    read: Pool,
    log: LogReader,
    commands: Commands,
    registry: Arc<Registry>,
    folders: Arc<Vec<Folder>>,
    kafka: Option<config::Kafka>,
    relay: config::Relay,
    limits: config::Projector,
}

/// How to rebuild, as it was asked for.
#[derive(Deserialize)]
struct Options {
    workers: Option<u16>,
    max_events_per_second: Option<u32>,
    swap: Option<rebuild::Swap>,
}

/// What to mend.
#[derive(Deserialize)]
struct ToMend {
    stream: StreamId,
}

impl Admin {
    /// `writer` is of the log's database, `read` of the read models', as the projector; `folders` are what rebuilds may
    /// take a newer version from.
    pub fn new(commands: Commands, writer: Pool, read: Pool, folders: Vec<Folder>, config: &Config) -> Self {
        Self {
            databases: config.databases.clone(),
            log: LogReader::new(writer.clone()),
            writer,
            read,
            commands,
            registry: Arc::new(domain::registry()),
            folders: Arc::new(folders),
            kafka: config.kafka.clone(),
            relay: config.relay.clone(),
            limits: config.projector.clone(),
        }
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
        let lags = RawJson::of(&projector::lags(&self.log, &self.read).await?);
        let rows = self.read.get().await?.query(PROJECTIONS, &[&name, &head.0, &lags]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// How far the relay has come.
    pub async fn outbox(&self) -> Result<relay::Outbox, Error> {
        Ok(relay::Outbox::read(&self.writer).await?)
    }

    /// What a rebuild would take.
    pub async fn estimate(
        &self,
        projection: &str,
        max_events_per_second: Option<u32>,
    ) -> Result<rebuild::Estimate, Error> {
        Ok(rebuild::estimate(&self.read, &self.log, projection, max_events_per_second).await?)
    }

    /// What a projection has parked, after a position.
    pub async fn parked(
        &self,
        projection: &str,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Parked>, Error> {
        Ok(parked::list(&self.read, projection, after, limit as i64).await?)
    }

    /// Makes true what the event at this position says; what became of a stream that was parked, if it is about one.
    async fn carry_out(&self, position: Position) -> Result<Option<Mended>, Error> {
        match self.log.at(position).await? {
            Some(event) => self.make_true(&event, false).await,
            None => Ok(None),
        }
    }

    /// Does what was left undone, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let follow = async {
            let mut trouble = Trouble::new("what admins did cannot be looked through; trying again");
            loop {
                trouble.note(self.catch_up().await);
                sleep(LOOK_INTERVAL).await;
            }
        };
        shutdown.run_until_cancelled(follow).await;
    }

    async fn catch_up(&self) -> Result<(), Error> {
        let mut at = Position(self.writer.get().await?.query_one(CURSOR, &[]).await?.get(0));
        let head = self.log.head().await?;
        let types = [STREAM_TYPE.to_owned()];
        while at < head {
            let to = Position(head.0.min(at.0 + POSITIONS_PER_STEP));
            let looked = self.log.between(at, to, Some(&types), EVENTS_PER_STEP, BYTES_PER_STEP).await?;
            for event in &looked.events {
                match self.make_true(event, true).await {
                    Err(Error::Database(error)) => return Err(error.into()),
                    Err(Error::Rebuild(rebuild::Error::Database(error)))
                        if error.failure() == postgres::Failure::Transient =>
                    {
                        return Err(error.into());
                    }
                    // A newer program knows it.
                    Err(error @ Error::Unreadable(DecodeError::Newer { .. })) => return Err(error),
                    // What cannot be done (any more) was told to who asked for it.
                    Err(error) => {
                        warn!(position = event.position.0, %error, "an admin's action has no effect")
                    }
                    Ok(_) => {}
                }
            }
            at = looked.events.last().filter(|_| looked.more).map_or(to, |event| event.position);
            // No session is kept meanwhile: a step may take longer than one may be silent.
            self.writer.get().await?.execute(ADVANCE, &[&at.0]).await?;
        }
        Ok(())
    }

    async fn make_true(&self, event: &Event, again: bool) -> Result<Option<Mended>, Error> {
        let key_id = event.stream_id;
        match decode(event)? {
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
                // Refused then for the one that was under way, it is not begun after that one's end.
                if again && rebuild::under_way_since(&self.read, &projection, event.recorded_at).await? {
                    return Ok(None);
                }
                return self.act_on(action, &projection, rebuild_id.unwrap_or_default(), options).await;
            }
            AdminEvent::ProjectionDropped { projection, made_at } => {
                // Refused then for that rebuild, or it was rebuilt since by who wants to have it.
                if again && rebuild::under_way_since(&self.read, &projection, event.recorded_at).await? {
                    return Ok(None);
                }
                self.make_dropped(&projection, &made_at).await?;
            }
            // Whoever asked for it carries it out, and says what came of it.
            AdminEvent::ReconcileRequested { .. }
            | AdminEvent::ReconcileEnded { .. }
            | AdminEvent::IncarnationRequested { .. } => {}
        }
        Ok(None)
    }

    async fn act_on(
        &self,
        action: Action,
        projection: &str,
        id: Uuid,
        options: Value,
    ) -> Result<Option<Mended>, Error> {
        match action {
            Action::Rebuild => self.rebuild(projection, id, serde_json::from_value(options)?).await?,
            Action::PauseRebuild => drop(rebuild::pause(&self.read, id).await?),
            Action::ResumeRebuild => drop(rebuild::resume(&self.read, id).await?),
            Action::CancelRebuild => drop(rebuild::cancel(&self.read, id).await?),
            Action::SwapRebuild => drop(rebuild::swap(&self.read, id).await?),
            Action::RollBack => drop(rebuild::rollback(&self.read, projection).await?),
            Action::Pause => drop(projector::set_paused(&self.read, projection, true).await?),
            Action::Resume => drop(projector::set_paused(&self.read, projection, false).await?),
            Action::RetryParked | Action::SkipParked => {
                let ToMend { stream } = serde_json::from_value(options)?;
                let Self { read, log, registry, limits, .. } = self;
                let mender = Mender { read, log, registry, limits };
                let mended = match action {
                    Action::SkipParked => mender.skip(projection, &stream).await?,
                    _ => mender.retry(projection, &stream).await?,
                };
                return Ok(Some(mended));
            }
        }
        Ok(None)
    }

    /// Begins a rebuild, once.
    async fn rebuild(&self, projection: &str, id: Uuid, asked: Options) -> Result<(), Error> {
        let usual = rebuild::Options::default();
        let options = rebuild::Options {
            workers: asked.workers.unwrap_or(usual.workers),
            max_events_per_second: asked.max_events_per_second,
            swap: asked.swap.unwrap_or_default(),
        };
        // What is only compared is made of what serves.
        let newer = options.swap != rebuild::Swap::Never;
        match rebuild::get(&self.read, id).await {
            Ok(_) => Ok(()),
            Err(rebuild::Error::Unknown(_)) => {
                let folder = self.folders.iter().find(|folder| newer && folder.name == projection);
                let folder = folder.map(|folder| (folder, &*self.registry));
                rebuild::start(&self.read, id, projection, folder, options).await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn decode(event: &Event) -> Result<AdminEvent, DecodeError> {
    aggregate::decode::<domain::admin::Admin>(&event.event_type, event.schema_version, &event.data)
}
