//! How the parts of a process and what they stand on are, as `/health/ready` tells it.
//!
//! Anyone may ask, as often as they like: so it has connections of its own, is looked up once a second at most, and reveals
//! nothing that events hold.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use super::logins::Login;
use crate::{
    api::health::{Check, Dependencies, Dependency},
    command::topic,
    postgres::MigrationError,
    projector::{self, Progress},
    relay,
};

/// How long an answer is given again.
const MEMORY: Duration = Duration::from_secs(1);

/// The parts that run in this process, and the databases they stand on.
pub(super) struct Parts {
    /// Nothing is served without the first one, which writes the log.
    pub(super) logins: Vec<Login>,
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
    async fn dependencies(&self) -> Dependencies {
        let mut dependencies = self.databases().await;
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

    async fn databases(&self) -> Dependencies {
        let schemas = join_all(self.logins.iter().map(Login::schema)).await;
        let mut dependencies = Dependencies::new();
        for (login, schema) in self.logins.iter().zip(schemas) {
            if login.name == "writer" {
                let (postgres, schema) = of_log(schema);
                dependencies.extend([("postgres".to_owned(), postgres), ("schema".to_owned(), schema)]);
                continue;
            }
            let (name, database) = (login.name, login.database.as_str());
            let status = match schema {
                Err(MigrationError::Database(_)) => {
                    Dependency::degraded(format!("database {database} does not answer login {name}"))
                }
                _ => Dependency::up(),
            };
            dependencies.insert(format!("postgres:{name}"), status);
        }
        dependencies
    }
}

/// The log's database and its schema, as the writer found them.
fn of_log(schema: Result<(), MigrationError>) -> (Dependency, Dependency) {
    match schema {
        Ok(()) => (Dependency::up(), Dependency::up()),
        Err(MigrationError::Database(_)) => {
            (Dependency::down("the log's database does not answer"), Dependency::up())
        }
        // While a newer program takes over, this one goes on.
        Err(error @ MigrationError::Newer { .. }) => {
            (Dependency::up(), Dependency::degraded(error.to_string()))
        }
        Err(error) => (Dependency::up(), Dependency::down(error.to_string())),
    }
}

fn of_projection(name: &str, status: projector::Status) -> Dependency {
    match status {
        projector::Status::Idle | projector::Status::Running => Dependency::up(),
        projector::Status::Paused => Dependency::degraded("an admin paused it"),
        projector::Status::Waiting { told: reason, .. } | projector::Status::Refused { reason } => {
            Dependency::degraded(reason)
        }
        projector::Status::Stopped { .. } => Dependency::degraded(format!(
            "an event stopped it: GET /api/admin/projections/{name} tells which"
        )),
    }
}
