//! Rebuilds: a new generation of a read model beside the one that serves, from the whole log, compared and swapped in. And the
//! end of a read model.
//!
//! What people ask for is here; [`run`] carries it out, in any process with workers, and [`crate::projector`] does the folding.
//! The invariant: the state of a rebuild is in the database alone, and each step of it is one transaction. So it goes on after
//! any end of any process, and readers always get one whole generation.

mod compare;
mod dropping;
mod run;
mod steps;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
pub use compare::{Comparison, ParkedStream, TableComparison};
use deadpool_postgres::{GenericClient, Pool};
pub use dropping::{drop_projection, made_at};
pub use run::run;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, error::SqlState, types::ToSql};
use uuid::Uuid;

use crate::{
    aggregate::Registry,
    json::RawJson,
    log::LogReader,
    postgres,
    projector::{Folder, generation},
};

const START: &str = include_str!("rebuild/start.sql");
const LIVE: &str = include_str!("rebuild/live.sql");
const GET: &str = include_str!("rebuild/get.sql");
const UNDER_WAY_SINCE: &str = include_str!("rebuild/under_way_since.sql");
const LIST: &str = include_str!("rebuild/list.sql");
const CHANGE: &str = include_str!("rebuild/change.sql");
const SWAP: &str = include_str!("rebuild/swap.sql");
const ROLLBACK: &str = include_str!("rebuild/rollback.sql");
const ESTIMATE: &str = include_str!("rebuild/estimate.sql");

/// Why something about a rebuild was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no read model `{0}` yet")]
    UnknownProjection(String),
    #[error("there is no rebuild {0}")]
    Unknown(Uuid),
    #[error("`{0}` is being rebuilt already")]
    AlreadyRunning(String),
    #[error("`{0}` is being rebuilt: cancel the rebuild first")]
    BeingRebuilt(String),
    #[error("the rebuild is {0}")]
    NotNow(State),
    #[error("no earlier generation is kept that could serve again")]
    NothingToGoBackTo,
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The log is read from its beginning.
    Running,
    /// What came meanwhile is read, up to where the live generation stands.
    CatchingUp,
    Comparing,
    /// For a person, who swaps it in or cancels it. It follows the log meanwhile.
    Waiting,
    Paused,
    Done,
    Failed,
    Cancelled,
}

impl State {
    /// Those in which somebody carries it on.
    const WORKING: [Self; 3] = [Self::Running, Self::CatchingUp, Self::Comparing];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::CatchingUp => "catching-up",
            Self::Comparing => "comparing",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens when the new generation is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swap {
    /// It serves, unless it had to be equal and is not.
    #[default]
    Auto,
    /// It waits for a person.
    Manual,
    /// It is compared and dropped.
    Never,
}

impl Swap {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Never => "never",
        }
    }
}

/// How to rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Transactions at once.
    pub workers: u16,
    pub max_events_per_second: Option<u32>,
    pub swap: Swap,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 2, max_events_per_second: None, swap: Swap::Auto }
    }
}

/// A rebuild as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rebuild {
    pub id: Uuid,
    pub projection: String,
    /// `None` until it is made.
    pub generation: Option<i32>,
    pub state: State,
    pub swap: Swap,
    pub workers: u16,
    pub max_events_per_second: Option<u32>,
    #[serde(skip_serializing)]
    indexed: bool,
    #[serde(skip_serializing)]
    holder: Option<Uuid>,
    /// Positions of the log that are passed, of `events_total`.
    pub events_done: i64,
    pub events_total: i64,
    pub events_per_second: Option<f64>,
    pub comparison: Option<Comparison>,
    /// Why it failed.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl Rebuild {
    fn of(row: &Row) -> Self {
        let json: RawJson = row.get(0);
        json.parse().expect("the table's checks admit only what this type can hold")
    }

    /// Whether some process carries it on now.
    pub fn is_carried(&self) -> bool {
        self.holder.is_some()
    }

    /// How long it will take at its present rate; nothing while it stands.
    pub fn eta_seconds(&self) -> Option<f64> {
        let goes_on = !self.state.is_final() && self.state != State::Paused;
        let rate = self.events_per_second.filter(|rate| *rate > 0.0 && goes_on)?;
        Some((self.events_total - self.events_done).max(0) as f64 / rate)
    }

    /// What the generations differ in although they must not.
    pub fn difference(&self) -> Option<&Comparison> {
        self.comparison.as_ref().filter(|found| found.is_wrong())
    }
}

/// What a rebuild would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    pub projection: String,
    /// Positions of the log to pass.
    pub events: i64,
    /// By the rate of the last rebuild and the one that is asked for; `None` where there is neither.
    pub seconds: Option<f64>,
    /// What the live generation takes.
    pub bytes: i64,
}

/// Begins a rebuild of this id, from `folder` where its version is higher than that of the generation that serves, else from what that
/// one was made from.
pub async fn start(
    read: &Pool,
    id: Uuid,
    projection: &str,
    folder: Option<(&Folder, &Registry)>,
    options: Options,
) -> Result<Rebuild, Error> {
    let client = read.get().await.map_err(postgres::Error::from)?;
    let unknown = || Error::UnknownProjection(projection.to_owned());
    let live: i32 = client.query_opt(LIVE, &[&projection]).await?.ok_or_else(unknown)?.get(0);
    let folder = folder.filter(|(folder, _)| folder.version > live);
    let files = folder.map(|(folder, _)| RawJson::of(folder.files()));
    let made_for = folder.map_or_else(BTreeMap::new, |(folder, registry)| folder.made_for(registry));
    let made_for = RawJson::of(&made_for);
    let most = options.max_events_per_second.map(|most| i32::try_from(most).unwrap_or(i32::MAX));
    let (workers, swap) = (i32::from(options.workers), options.swap.as_str());
    let parameters: [&(dyn ToSql + Sync); 7] = [&id, &projection, &files, &workers, &most, &swap, &made_for];
    match client.query_opt(START, &parameters).await {
        Ok(row) => Ok(Rebuild::of(&row.ok_or_else(unknown)?)),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            // Of its own id, where somebody else began it on the same request.
            let own = client.query_opt(GET, &[&id]).await?;
            own.as_ref().map(Rebuild::of).ok_or_else(|| Error::AlreadyRunning(projection.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a rebuild of a projection was under way at or after a time.
pub async fn under_way_since(read: &Pool, projection: &str, time: DateTime<Utc>) -> Result<bool, Error> {
    let client = read.get().await.map_err(postgres::Error::from)?;
    Ok(client.query_one(UNDER_WAY_SINCE, &[&projection, &time]).await?.get(0))
}

/// What a rebuild would take, throttled or not; makes nothing.
pub async fn estimate(
    read: &Pool,
    log: &LogReader,
    projection: &str,
    max_events_per_second: Option<u32>,
) -> Result<Estimate, Error> {
    let client = read.get().await.map_err(postgres::Error::from)?;
    let row = client.query_opt(ESTIMATE, &[&projection]).await?;
    let row = row.ok_or_else(|| Error::UnknownProjection(projection.to_owned()))?;
    let events = log.head().await?.0;
    let rates = [row.get(0), max_events_per_second.map(f64::from)];
    let seconds = rates.into_iter().flatten().reduce(f64::min).map(|rate| events as f64 / rate);
    Ok(Estimate { projection: projection.to_owned(), events, seconds, bytes: row.get(1) })
}

pub async fn get(read: &Pool, id: Uuid) -> Result<Rebuild, Error> {
    let client = read.get().await.map_err(postgres::Error::from)?;
    let row = client.query_opt(GET, &[&id]).await?;
    Ok(Rebuild::of(&row.ok_or(Error::Unknown(id))?))
}

/// The rebuilds of a projection, or of all, newest first, at most `limit`: those before another one, if one is named.
pub async fn list(
    read: &Pool,
    projection: Option<&str>,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Rebuild>, Error> {
    let client = read.get().await.map_err(postgres::Error::from)?;
    let rows = client.query(LIST, &[&projection, &before, &(limit as i64)]).await?;
    Ok(rows.iter().map(Rebuild::of).collect())
}

/// The rebuild of a projection that has not ended; there is one at most, and none is newer.
pub async fn unfinished(read: &Pool, projection: &str) -> Result<Option<Rebuild>, Error> {
    let newest = list(read, Some(projection), None, 1).await?.into_iter().next();
    Ok(newest.filter(|rebuild| !rebuild.state.is_final()))
}

/// Holds a rebuild where it is.
pub async fn pause(read: &Pool, id: Uuid) -> Result<Rebuild, Error> {
    change(read, id, &State::WORKING, State::Paused).await
}

/// Lets a paused rebuild go on.
pub async fn resume(read: &Pool, id: Uuid) -> Result<Rebuild, Error> {
    change(read, id, &[State::Paused], State::Running).await
}

/// Ends a rebuild; what it made is dropped.
pub async fn cancel(read: &Pool, id: Uuid) -> Result<Rebuild, Error> {
    let unfinished = [&State::WORKING[..], &[State::Waiting, State::Paused]].concat();
    change(read, id, &unfinished, State::Cancelled).await
}

/// Lets the generation of a rebuild that waits serve, whatever was found about it.
pub async fn swap(read: &Pool, id: Uuid) -> Result<Rebuild, Error> {
    let known = get(read, id).await?;
    let mut client = read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    generation::hold(&transaction, &known.projection).await?;
    let swapped = transaction.query_opt(SWAP, &[&id]).await?;
    transaction.commit().await?;
    let now = get(read, id).await?;
    if swapped.is_some() { Ok(now) } else { Err(Error::NotNow(now.state)) }
}

/// Lets the generation that served before serve again, as fresh as the present one; returns its number.
pub async fn rollback(read: &Pool, projection: &str) -> Result<i32, Error> {
    let mut client = read.get().await.map_err(postgres::Error::from)?;
    let transaction = client.transaction().await?;
    generation::hold(&transaction, projection).await?;
    let generation = transaction.query_opt(ROLLBACK, &[&projection]).await?;
    transaction.commit().await?;
    Ok(generation.ok_or(Error::NothingToGoBackTo)?.get(0))
}

/// A step of a rebuild from one of some states to another.
struct Change<'a> {
    from: &'a [State],
    to: State,
    /// Only where this one holds it; `None`: whoever does.
    holder: Option<Uuid>,
    comparison: Option<RawJson>,
    error: Option<&'a str>,
}

impl Change<'_> {
    /// The rebuild after it; `None` where it is in another state, or another's.
    async fn apply(&self, client: &impl GenericClient, id: Uuid) -> Result<Option<Rebuild>, postgres::Error> {
        let from: Vec<&str> = self.from.iter().map(|state| state.as_str()).collect();
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&id, &from, &self.to.as_str(), &self.holder, &self.comparison, &self.error];
        let row = client.query_opt(CHANGE, &parameters).await?;
        Ok(row.as_ref().map(Rebuild::of))
    }
}

async fn change(read: &Pool, id: Uuid, from: &[State], to: State) -> Result<Rebuild, Error> {
    let client = read.get().await.map_err(postgres::Error::from)?;
    let change = Change { from, to, holder: None, comparison: None, error: None };
    match change.apply(&client, id).await? {
        Some(rebuild) => Ok(rebuild),
        None => Err(Error::NotNow(get(read, id).await?.state)),
    }
}
