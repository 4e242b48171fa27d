//! How the parts of a process and what they stand on are, as `/health/ready` tells it.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;

use crate::{
    api::health::{Dependencies, Dependency},
    command::topic,
    postgres::{self, MigrationError},
    projector, relay,
};

/// How each part of this process and what it stands on are, by name.
pub(super) async fn dependencies(
    writer: &Pool,
    relay: Option<relay::Status>,
    topic: Option<topic::Status>,
    projections: BTreeMap<String, projector::Status>,
) -> Dependencies {
    let mut dependencies = Dependencies::new();
    let schema = postgres::check_log(writer).await;
    let away = matches!(schema, Err(MigrationError::Database(_) | MigrationError::Statement(_)));
    dependencies.insert(
        "postgres".into(),
        if away { Dependency::down("the log's database does not answer") } else { Dependency::up() },
    );
    dependencies.insert(
        "schema".into(),
        match schema {
            Err(error) if !away => Dependency::down(error.to_string()),
            _ => Dependency::up(),
        },
    );
    if let Some(relay) = relay {
        let status = relay.stopped.map_or_else(Dependency::up, Dependency::degraded);
        dependencies.insert("kafka".into(), status);
    }
    if let Some(topic) = topic {
        let status = topic.stopped.map_or_else(Dependency::up, Dependency::degraded);
        dependencies.insert("command-topic".into(), status);
    }
    for (name, status) in projections {
        let status = match status {
            projector::Status::Idle | projector::Status::Running => Dependency::up(),
            projector::Status::Paused => Dependency::degraded("an admin paused it"),
            projector::Status::Waiting { reason } | projector::Status::Stopped { reason } => {
                Dependency::degraded(reason)
            }
        };
        dependencies.insert(format!("projection:{name}"), status);
    }
    dependencies
}
