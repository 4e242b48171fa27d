//! How the parts of a process and what they stand on are, as `/health/ready` tells it.
//!
//! Anyone may ask, as often as they like: so it has a connection of its own, is looked up once a second at most, and reveals
//! nothing that events hold.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::{
    api::health::{Check, Dependencies, Dependency},
    command::topic,
    postgres::{self, MigrationError},
    projector::{self, Progress},
    relay,
};

/// How long an answer is given again.
const MEMORY: Duration = Duration::from_secs(1);
/// How long the log's database may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The parts that run in this process, and the log they stand on.
pub(super) struct Parts {
    /// A pool for this alone.
    pub(super) log: Pool,
    pub(super) relay: Option<watch::Receiver<relay::Status>>,
    pub(super) topic: Option<watch::Receiver<topic::Status>>,
    pub(super) projections: Option<Progress>,
}

/// Looks when it is asked, at once for all who ask within a second.
pub(super) fn check(parts: Parts) -> Check {
    let known = Arc::new((parts, Mutex::new(None::<(Instant, Dependencies)>)));
    Arc::new(move || {
        let known = known.clone();
        Box::pin(async move {
            let (parts, known) = &*known;
            let mut known = known.lock().await;
            if let Some((at, dependencies)) = &*known
                && at.elapsed() < MEMORY
            {
                return dependencies.clone();
            }
            let dependencies = parts.dependencies().await;
            *known = Some((Instant::now(), dependencies.clone()));
            dependencies
        })
    })
}

impl Parts {
    /// How the log's schema is; the connection on which nothing comes is not asked again.
    async fn schema(&self) -> Result<(), MigrationError> {
        postgres::in_time(PATIENCE, postgres::check_log(&self.log), || drop(self.log.retain(|_, _| false)))
            .await
    }

    async fn dependencies(&self) -> Dependencies {
        let (postgres, schema) = match self.schema().await {
            Ok(()) => (Dependency::up(), Dependency::up()),
            Err(MigrationError::Database(_)) => {
                (Dependency::down("the log's database does not answer"), Dependency::up())
            }
            // While a newer program takes over, this one goes on.
            Err(error @ MigrationError::Newer { .. }) => {
                (Dependency::up(), Dependency::degraded(error.to_string()))
            }
            Err(error) => (Dependency::up(), Dependency::down(error.to_string())),
        };
        let mut dependencies =
            Dependencies::from([("postgres".to_owned(), postgres), ("schema".to_owned(), schema)]);
        let unless_stopped = |stopped| Option::map_or_else(stopped, Dependency::up, Dependency::degraded);
        if let Some(relay) = &self.relay {
            dependencies.insert("kafka".into(), unless_stopped(relay.borrow().stopped.clone()));
        }
        if let Some(topic) = &self.topic {
            dependencies.insert("command-topic".into(), unless_stopped(topic.borrow().stopped.clone()));
        }
        for (name, status) in self.projections.iter().flat_map(Progress::statuses) {
            let status = of_projection(&name, status);
            dependencies.insert(format!("projection:{name}"), status);
        }
        dependencies
    }
}

fn of_projection(name: &str, status: projector::Status) -> Dependency {
    match status {
        projector::Status::Idle | projector::Status::Running => Dependency::up(),
        projector::Status::Paused => Dependency::degraded("an admin paused it"),
        projector::Status::Waiting { reason } | projector::Status::Refused { reason } => {
            Dependency::degraded(reason)
        }
        projector::Status::Stopped { .. } => Dependency::degraded(format!(
            "an event stopped it: GET /api/admin/projections/{name} tells which"
        )),
    }
}
