//! The logins that this process uses on its databases, and whether each gets an answer.
//!
//! One that works tells nothing of the others, so each is asked by itself, on a connection for this alone.

use std::time::Duration;

use deadpool_postgres::Pool;

use super::{Role, pools::Pools};
use crate::{
    config::Databases,
    postgres::{self, Error, MigrationError},
};

/// How long a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a login is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Log,
    /// Of the read models alone.
    ReadModels,
}

impl Database {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::ReadModels => "read_models",
        }
    }
}

#[derive(Clone)]
pub(super) struct Login {
    /// As in the name of the setting that holds its URL.
    pub(super) name: &'static str,
    pub(super) database: Database,
    pool: Pool,
}

/// Those that a process of these roles uses; the writer comes first. Where the read models have a database of their own, one
/// login reads and folds them.
pub(super) fn of(pools: &Pools, databases: &Databases, roles: &[Role]) -> Result<Vec<Login>, Error> {
    let (api, projector) = (roles.contains(&Role::Api), roles.contains(&Role::Projector));
    let login = |name, database, part, url| {
        Ok::<_, Error>(Login { name, database, pool: pools.bounded(part, url, 1, PATIENCE)? })
    };
    let mut logins = vec![
        login("writer", Database::Log, "health", &databases.writer)?,
        login("reader", Database::Log, "health_of_reader", &databases.reader)?,
    ];
    if projector || api && databases.read_models.is_none() {
        logins.push(login("projector", Database::Log, "health_of_projector", &databases.projector)?);
    }
    if let Some(url) = databases.read_models.as_ref().filter(|_| api || projector) {
        logins.push(login("read_models", Database::ReadModels, "health_of_read_models", url)?);
    }
    Ok(logins)
}

impl Login {
    /// How the schema is that it finds; the connection on which nothing comes is not asked again.
    pub(super) async fn schema(&self) -> Result<(), MigrationError> {
        let asking = async {
            match self.database {
                Database::Log => postgres::check_log(&self.pool).await,
                Database::ReadModels => postgres::check_read_models(&self.pool).await,
            }
        };
        postgres::in_time(PATIENCE, asking, || drop(self.pool.retain(|_, _| false))).await
    }

    /// Whether it gets an answer, whatever the schema.
    pub(super) async fn answer(&self) -> Result<(), Error> {
        match self.schema().await {
            Err(MigrationError::Database(error)) => Err(error),
            _ => Ok(()),
        }
    }
}
