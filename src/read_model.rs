//! Reading read models for the API: a row by its key, pages by filter and order, named queries.
//!
//! Knows folders and generations, nothing of HTTP and nothing of a particular read model. The invariant: pointer,
//! checkpoints and rows of one answer are of one snapshot, so an answer never mixes two generations.

mod catalog;
mod cursor;
mod list;
mod parameter;
mod query;
mod relay;
mod row;
mod snapshot;
mod wait;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

pub use catalog::{Catalog, Column};
use deadpool_postgres::{Object, Pool};
pub use list::{Filter, ListQuery, Operator, Page};
use relay::Relay;
use snapshot::{Snapshot, Stale};
use tokio::{sync::Semaphore, time::Instant};
use tokio_postgres::error::SqlState;
use wait::Look;

use crate::{
    config,
    json::RawJson,
    log::{LogReader, Position, Relayed, StreamTypes},
    postgres,
    projector::Progress,
    relay::Sent,
    uninterrupted::uninterrupted,
};

/// Who waited in vain looks the generation up once more, if it was not looked up so lately.
const CATALOG_AGE_MIN: Duration = Duration::from_secs(1);

/// What was read, and of which moment it is.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    pub value: T,
    /// Everything up to here is in it. It may name less than there is, by [`config::Reads::relay_age_max`].
    pub position: Position,
    pub generation: i32,
    /// Events that are passed but parked.
    pub parked: i64,
}

/// When an answer is new enough.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness {
    /// The events up to here have to be in it.
    pub after: Option<Position>,
    /// How long to wait for that.
    pub wait: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no read model `{0}`")]
    Unknown(String),
    #[error("the read model has no query `{0}`")]
    UnknownQuery(String),
    /// Every invalid parameter; never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    BadParameters(Vec<BadParameter>),
    #[error("the cursor cannot be used: {0}")]
    BadCursor(String),
    /// The position asked for was not reached in time, or there are no rows yet at all.
    #[error("the read model has not come that far yet")]
    Behind,
    #[error("too many requests wait for a read model")]
    Overloaded,
    /// Each value can be read as what it is; what Postgres says of them together.
    #[error("there is no answer for these values: {0}")]
    NoAnswer(String),
    #[error("the query gives more than {0} rows: ask for fewer by its parameters")]
    TooManyRows(usize),
    #[error("the query gives more than {0} bytes: ask for fewer rows by its parameters")]
    TooManyBytes(usize),
    #[error("the query took too long")]
    TooSlow,
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

/// A parameter of a request that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{name}`: {detail}")]
pub struct BadParameter {
    pub name: String,
    pub detail: String,
}

impl BadParameter {
    fn new(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), detail: detail.into() }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::QUERY_CANCELED) => Self::TooSlow,
            _ => Self::Database(error.into()),
        }
    }
}

/// The read models. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels(Arc<Shared>);

struct Shared {
    /// The read models' database, as the reader, reading only, with an end to each statement's time.
    read: Pool,
    log: LogReader,
    /// Where events come through Kafka.
    relay: Option<Relay>,
    progress: Progress,
    limits: config::Reads,
    waiters: Semaphore,
    /// By read model; held by the one who looks.
    looks: tokio::sync::Mutex<HashMap<String, Look>>,
    /// As last seen.
    stream_types: RwLock<Arc<StreamTypes>>,
    /// The live generation of each read model, as last seen, and when.
    catalogs: RwLock<HashMap<String, (Arc<Catalog>, Instant)>>,
}

impl Shared {
    async fn client(&self) -> Result<Object, postgres::Error> {
        Ok(self.read.get().await?)
    }
}

impl ReadModels {
    /// `sent`: of the relay, where events come through Kafka. It and `progress` wake those who wait.
    pub fn new(
        databases: &config::Databases,
        log: LogReader,
        sent: Option<Sent>,
        progress: Progress,
        limits: config::Reads,
    ) -> Result<Self, postgres::Error> {
        let url = databases.read_models_as_reader();
        let read = postgres::reading_pool(url, databases, limits.statement_timeout)?;
        Ok(Self(Arc::new(Shared {
            read,
            relay: sent.map(|sent| Relay::new(log.clone(), sent, limits.relay_age_max)),
            log,
            progress,
            waiters: Semaphore::new(limits.waiters_max),
            limits,
            looks: tokio::sync::Mutex::default(),
            stream_types: RwLock::default(),
            catalogs: RwLock::default(),
        })))
    }

    /// The connections that reads share.
    pub fn pool(&self) -> Pool {
        self.0.read.clone()
    }

    /// The row with this key, given as text in the order of the key's columns.
    pub async fn get(
        &self,
        name: &str,
        key: &[&str],
        freshness: Freshness,
    ) -> Result<Answer<Option<RawJson>>, Error> {
        loop {
            let reached = self.reach(name, freshness).await?;
            let catalog = reached.catalog.clone();
            let key: Vec<String> = key.iter().map(|&part| part.to_owned()).collect();
            let (relayed, client) = (self.relayed().await, self.0.client().await?);
            let row = async move { row::get(&client, &reached, relayed.as_deref(), &key).await };
            match uninterrupted(row).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(stale)) => self.begin_anew(name, stale).await?,
                // Another generation may have another key.
                Err(error @ Error::BadParameters(_)) => self.unless_live(&catalog, error).await?,
                Err(error) if is_of_no_table(&error) => self.unless_live(&catalog, error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// A page of rows.
    pub async fn list(
        &self,
        name: &str,
        query: &ListQuery,
        freshness: Freshness,
    ) -> Result<Answer<Page>, Error> {
        // Nobody waits for what is refused.
        let freshness = if query.faults.is_empty() { freshness } else { Freshness::default() };
        loop {
            let reached = self.reach(name, freshness).await?;
            let (query, catalog) = (query.clone(), reached.catalog.clone());
            let most = self.0.limits.page_bytes_max;
            let (relayed, mut client) = (self.relayed().await, self.0.client().await?);
            let page = async move {
                match Snapshot::open(&mut client, &reached, relayed.as_deref()).await? {
                    Ok(snapshot) => Ok(Ok(snapshot.list(&query, most).await?)),
                    Err(stale) => Ok(Err(stale)),
                }
            };
            match uninterrupted(page).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(stale)) => self.begin_anew(name, stale).await?,
                Err(error) if is_of_no_table(&error) => self.unless_live(&catalog, error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The rows of a named query, with its parameters by name.
    pub async fn query(
        &self,
        name: &str,
        query: &str,
        parameters: &[(&str, &str)],
        freshness: Freshness,
    ) -> Result<Answer<Vec<RawJson>>, Error> {
        loop {
            let reached = self.reach(name, freshness).await?;
            let (query, catalog) = (query.to_owned(), reached.catalog.clone());
            let most = (self.0.limits.query_rows_max, self.0.limits.page_bytes_max);
            let parameters: Vec<(String, String)> =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (relayed, mut client) = (self.relayed().await, self.0.client().await?);
            let rows = async move {
                match Snapshot::open(&mut client, &reached, relayed.as_deref()).await? {
                    Ok(snapshot) => Ok(Ok(snapshot.query(&query, &parameters, most).await?)),
                    Err(stale) => Ok(Err(stale)),
                }
            };
            match uninterrupted(rows).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(stale)) => self.begin_anew(name, stale).await?,
                Err(error) if is_of_no_table(&error) => self.unless_live(&catalog, error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn begin_anew(&self, name: &str, stale: Stale) -> Result<(), Error> {
        match stale {
            Stale::Generation => drop(self.load(name).await?),
            Stale::Checkpoints => self.0.progress.forget(name),
        }
        Ok(())
    }

    /// The error of a read, unless another generation than this one is live by now: then the read begins anew.
    async fn unless_live(&self, read: &Catalog, error: Error) -> Result<(), Error> {
        let live = self.load(&read.folder.name).await?;
        if live.generation == read.generation { Err(error) } else { Ok(()) }
    }

    /// How far the relay has come. Asked before a snapshot, so that what was sent by then is known to be in it.
    async fn relayed(&self) -> Option<Arc<Relayed>> {
        match &self.0.relay {
            Some(relay) => Some(relay.lately().await),
            None => None,
        }
    }

    /// The live generation, as last seen.
    async fn catalog(&self, name: &str) -> Result<Arc<Catalog>, Error> {
        match self.known(name) {
            Some(catalog) => Ok(catalog),
            None => self.load(name).await,
        }
    }

    fn known(&self, name: &str) -> Option<Arc<Catalog>> {
        self.0
            .catalogs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(|(catalog, _)| catalog.clone())
    }

    /// Has a generation that was seen some time ago looked up once more.
    fn forget(&self, name: &str) {
        let mut catalogs = self.0.catalogs.write().unwrap_or_else(PoisonError::into_inner);
        catalogs.retain(|known, (_, seen)| known != name || seen.elapsed() < CATALOG_AGE_MIN);
    }

    /// The live generation, as it is now.
    async fn load(&self, name: &str) -> Result<Arc<Catalog>, Error> {
        // No read model has such a name, and Postgres takes no such text.
        if name.contains('\0') {
            return Err(Error::Unknown(name.to_owned()));
        }
        let (client, wanted) = (self.0.client().await?, name.to_owned());
        let loading = async move { Catalog::load(&client, &wanted).await };
        let Some(catalog) = uninterrupted(loading).await? else {
            self.0.catalogs.write().unwrap_or_else(PoisonError::into_inner).remove(name);
            // Its folder is there: the first worker is about to make it.
            let known = self.0.progress.has(name);
            return Err(if known { Error::Behind } else { Error::Unknown(name.to_owned()) });
        };
        let catalog = Arc::new(catalog);
        let mut catalogs = self.0.catalogs.write().unwrap_or_else(PoisonError::into_inner);
        catalogs.insert(name.to_owned(), (catalog.clone(), Instant::now()));
        Ok(catalog)
    }
}

/// Whether tables were missing: those of a generation that is over go some time, those of a read model that is dropped at once.
fn is_of_no_table(error: &Error) -> bool {
    matches!(error, Error::Database(postgres::Error::Statement(error)) if error.code() == Some(&SqlState::UNDEFINED_TABLE))
}
