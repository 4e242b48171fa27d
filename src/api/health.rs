//! Whether the program lives, and whether it should be sent requests.
//!
//! Degraded is still ready: while a relay or a projection stands still, commands are stored all the same.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Serialize;

/// Asks every dependency how it is. Called for each request to `/health/ready`, so it has to be quick and bounded.
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, Dependencies> + Send + Sync>;

/// How each dependency is, by name, such as `postgres`, `schema`, `kafka` or `projection:orders`.
pub type Dependencies = BTreeMap<String, Dependency>;

/// How one dependency is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    pub status: Status,
    /// For people; nothing secret, since anyone may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// From good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Up,
    /// Away, but requests are served.
    Degraded,
    /// Requests cannot be served.
    Down,
}

impl Dependency {
    pub fn up() -> Self {
        Self { status: Status::Up, detail: None }
    }

    pub fn degraded(detail: impl Into<String>) -> Self {
        Self { status: Status::Degraded, detail: Some(detail.into()) }
    }

    pub fn down(detail: impl Into<String>) -> Self {
        Self { status: Status::Down, detail: Some(detail.into()) }
    }
}

/// What `/health/ready` tells.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    pub(crate) status: Status,
    dependencies: Dependencies,
}

impl Readiness {
    pub(crate) fn of(mut dependencies: Dependencies, draining: bool) -> Self {
        if draining {
            dependencies.insert("server".into(), Dependency::down("it is ending"));
        }
        let status = dependencies.values().map(|dependency| dependency.status).max().unwrap_or(Status::Up);
        Self { status, dependencies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_dependency_decides() {
        let mut dependencies = Dependencies::from([("postgres".to_owned(), Dependency::up())]);
        assert_eq!(Readiness::of(dependencies.clone(), false).status, Status::Up);
        dependencies.insert("kafka".into(), Dependency::degraded("away"));
        assert_eq!(Readiness::of(dependencies.clone(), false).status, Status::Degraded);
        assert_eq!(Readiness::of(dependencies, true).status, Status::Down);
    }
}
