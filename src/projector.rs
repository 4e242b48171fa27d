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
mod standing;
mod statement;
pub(crate) mod wanted;
mod waves;
mod worker;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

pub(crate) use check::DeclaredColumn;
use deadpool_postgres::Pool;
pub use folder::{Fault, Folder, Loaded, OnError, Order, Parameter, ParameterType, Query, Rows};
use futures_util::FutureExt;
pub use lag::{Lag, lags};
pub use overview::{GenerationOverview, Going, Overview, RebuildOverview, overview, set_paused};
pub use progress::{Progress, Seen, Status};
pub use standing::{Standing, standings};
use tokio::{sync::watch, task::JoinSet, time::sleep};
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
        let (deps, kafka, limits, shutdown) = (deps.clone(), kafka.clone(), limits.clone(), shutdown.clone());
        workers.spawn(async move {
            let (progress, name, pause) = (deps.progress.clone(), folder.name.clone(), limits.backoff_max);
            let work =
                || worker::run(deps.clone(), folder.clone(), kafka.clone(), limits.clone(), shutdown.clone());
            keep(&progress, &name, pause, &shutdown, work).await;
        });
    }
    while workers.join_next().await.is_some() {}
}

/// Works until the work ends; where it panics that is said, and it begins again.
async fn keep<W: Future<Output = ()>>(
    progress: &Progress,
    projection: &str,
    pause: Duration,
    shutdown: &CancellationToken,
    work: impl Fn() -> W,
) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        // Its own text went to stderr by the panic hook.
        error!(projection, "a projection's worker panicked; it begins again");
        let reason = "its worker panicked, and begins again: stderr of its process says why";
        progress.set_status(projection, Status::waiting(reason));
        if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_begins_again_and_says_so() {
        let progress = Progress::new(["counters"]);
        let begun = Cell::new(0);
        let work = || async {
            begun.set(begun.get() + 1);
            assert!(begun.get() > 1, "on purpose");
        };
        keep(&progress, "counters", Duration::ZERO, &CancellationToken::new(), work).await;
        assert_eq!(begun.get(), 2);
        let status = progress.statuses()["counters"].clone();
        assert!(matches!(status, Status::Waiting { reason, .. } if reason.contains("panicked")));
    }
}
