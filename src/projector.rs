//! Projections: folders of SQL that fold the log into read models.
//!
//! source → [`batch`] → [`waves`] → [`fold`]: rows and checkpoint in one transaction. What a projection is stands in
//! its [`Folder`]; nothing here knows a domain or HTTP, and nothing here writes to the log. Each projection has a worker
//! of its own, so that one that stands still holds up no other.

mod batch;
pub(crate) mod candidate;
mod check;
pub(crate) mod checkpoint;
mod fold;
mod folder;
pub(crate) mod generation;
mod kafka_source;
mod lag;
mod overview;
pub mod parked;
mod progress;
mod scan;
pub(crate) mod sql;
mod statement;
mod waves;
mod worker;

use std::sync::Arc;

pub use batch::Partition;
use deadpool_postgres::Pool;
pub use folder::{Fault, Folder, Loaded, OnError, Order, Parameter, ParameterType, Query, Rows};
pub use lag::{Lag, lags};
pub use overview::{GenerationOverview, Going, Overview, RebuildOverview, overview, set_paused};
pub use progress::{Progress, Seen, Status};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use crate::{
    aggregate::Registry,
    config,
    log::{LogReader, Position},
    postgres,
    trace::Spans,
};

const FORGET: &str = include_str!("projector/forget.sql");

/// What the workers work with. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    /// The log, as the projector's role: for tailing and for refills.
    pub reader: LogReader,
    /// The read models' database, as the projector's role.
    pub read: Pool,
    pub registry: Arc<Registry>,
    /// Whose events these are.
    pub log_id: Uuid,
    /// Moves when the log grows; may be late.
    pub head: watch::Receiver<Position>,
    /// Told of every step.
    pub progress: Progress,
    pub spans: Spans,
}

/// Drops every generation of every read model; the next start builds them anew. Returns how many there were. `read` is
/// of the projector's role.
pub async fn forget(read: &Pool) -> Result<i32, postgres::Error> {
    Ok(read.get().await?.query_one(FORGET, &[]).await?.get(0))
}

/// Runs a worker for each folder until the shutdown. Without `kafka` they tail the log.
pub async fn run(
    deps: Deps,
    folders: Vec<Folder>,
    kafka: Option<config::Kafka>,
    limits: config::Projector,
    shutdown: CancellationToken,
) {
    let mut workers = JoinSet::new();
    for folder in folders {
        workers.spawn(worker::run(deps.clone(), folder, kafka.clone(), limits.clone(), shutdown.clone()));
    }
    while let Some(ended) = workers.join_next().await {
        if let Err(error) = ended {
            error!(%error, "a projection's worker ended; its projection stands still until the next start");
        }
    }
}
