//! Brings a database's schema to what this program knows, or tells how the two differ.
//!
//! Runs on a connection of its own, under an advisory lock, so that many processes may start at once. A schema newer
//! than the program, or one that differs from what the program applied, is refused.

use std::time::Duration;

use deadpool_postgres::Pool;
use refinery::error::Kind;
use secrecy::SecretString;
use tokio_postgres::{Client, error::SqlState};
use tracing::warn;

use super::connect;

mod log_files {
    refinery::embed_migrations!("schema/log");
}

mod read_files {
    refinery::embed_migrations!("schema/read");
}

const LOCK: &str = include_str!("migrate_lock.sql");
const ROLES: &str = include_str!("../../schema/roles.sql");
const LOG_SCHEMA: &str = include_str!("../../schema/log_schema.sql");
const READ_SCHEMA: &str = include_str!("../../schema/read_schema.sql");
const ACT_AS_OWNER: &str = include_str!("act_as_owner.sql");
const LOCK_TIMEOUT: &str = include_str!("migrate_lock_timeout.sql");
const LOG_APPLIED: &str = include_str!("log_applied.sql");
const READ_APPLIED: &str = include_str!("read_applied.sql");
const LOG_APPLIED_TABLE: &str = "log.migrations";
const READ_APPLIED_TABLE: &str = "projections.migrations";

/// How often a migration is tried for which a table is in use, and what lies between two tries.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_secs(3);

/// Why a schema does not fit, or was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Database(#[from] super::Error),
    /// The database refused one, and with it all that were to be applied.
    #[error("the migration failed: {0}")]
    Refused(String),
    #[error(
        "the schema does not fit this program: {0}. A newer program may have migrated it: use that one, or restore \
         a backup from before"
    )]
    Differs(refinery::Error),
    #[error("the schema is at migration {found}, this program needs {needed}: run `annals migrate`")]
    Older { found: i32, needed: i32 },
    #[error(
        "the schema is at migration {found}, this program knows up to {known}: a newer program migrated it, use that one"
    )]
    Newer { found: i32, known: i32 },
    #[error(
        "the schema's last migration is `{found}`, this program's is `{known}`: another program migrated it, use that one or \
         see \"Upgrade\" in docs/operations.md"
    )]
    Other { found: String, known: String },
}

impl From<tokio_postgres::Error> for MigrationError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<refinery::Error> for MigrationError {
    fn from(error: refinery::Error) -> Self {
        match error.kind() {
            Kind::Connection(..) => {
                Self::Refused(statement(&error).map_or_else(|| error.to_string(), super::told))
            }
            _ => Self::Differs(error),
        }
    }
}

/// Migrates the log's database; returns the names of the migrations applied now.
pub async fn migrate_log(url: &SecretString, timeout: Duration) -> Result<Vec<String>, MigrationError> {
    migrate(url, timeout, LOG_SCHEMA, log_files::migrations::runner(), LOG_APPLIED_TABLE).await
}

/// Migrates the read models' database, which may be the same one.
pub async fn migrate_read_models(
    url: &SecretString,
    timeout: Duration,
) -> Result<Vec<String>, MigrationError> {
    migrate(url, timeout, READ_SCHEMA, read_files::migrations::runner(), READ_APPLIED_TABLE).await
}

/// A session that acts as the owner of the schemas, as a migration does.
pub async fn owner_session(url: &SecretString, timeout: Duration) -> Result<Client, MigrationError> {
    let (client, connection) = connect(url, timeout).await?;
    tokio::spawn(connection);
    client.batch_execute(ACT_AS_OWNER).await?;
    Ok(client)
}

/// Whether the log's schema is the one this program needs; for processes that may not migrate.
pub async fn check_log(pool: &Pool) -> Result<(), MigrationError> {
    check(pool, LOG_APPLIED, &log_files::migrations::runner()).await
}

/// Whether the schema of the read models' database is the one this program needs.
pub async fn check_read_models(pool: &Pool) -> Result<(), MigrationError> {
    check(pool, READ_APPLIED, &read_files::migrations::runner()).await
}

async fn migrate(
    url: &SecretString,
    timeout: Duration,
    schema: &str,
    mut runner: refinery::Runner,
    applied_table: &str,
) -> Result<Vec<String>, MigrationError> {
    let (mut client, connection) = connect(url, timeout).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(LOCK).await?;
    client.batch_execute(ROLES).await?;
    client.batch_execute(schema).await?;
    client.batch_execute(ACT_AS_OWNER).await?;
    runner.set_migration_table_name(applied_table);
    runner = runner.set_grouped(true);
    client.batch_execute(LOCK_TIMEOUT).await?;
    let mut tries = 1;
    let report = loop {
        match runner.run_async(&mut client).await {
            Err(error) if tries < LOCK_TRIES && is_locked(&error) => {
                warn!(
                    tries,
                    "a table is in use, by a long transaction perhaps; the migration is tried again"
                );
                tries += 1;
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            outcome => break outcome?,
        }
    };
    drop(client);
    // The session ends with the client, and its lock with it.
    let _ = connection.await;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Whether a lock was not to be had in time.
fn is_locked(error: &refinery::Error) -> bool {
    statement(error).and_then(tokio_postgres::Error::code) == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// What the database said, however often it was wrapped.
fn statement(error: &refinery::Error) -> Option<&tokio_postgres::Error> {
    let mut causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref())
}

async fn check(pool: &Pool, applied: &str, runner: &refinery::Runner) -> Result<(), MigrationError> {
    let known = runner.get_migrations().iter().max_by_key(|migration| migration.version());
    let (needed, known) = known.map_or((0, ""), |last| (last.version(), last.name()));
    let client = pool.get().await.map_err(super::Error::from)?;
    let last = match client.query_opt(applied, &[]).await {
        Ok(last) => last,
        // Nothing was ever migrated here.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => None,
        Err(error) => return Err(error.into()),
    };
    let (found, name) = last.map_or((0, String::new()), |last| (last.get(0), last.get(1)));
    match found.cmp(&needed) {
        std::cmp::Ordering::Less => Err(MigrationError::Older { found, needed }),
        std::cmp::Ordering::Equal if name == known => Ok(()),
        std::cmp::Ordering::Equal => Err(MigrationError::Other { found: name, known: known.to_owned() }),
        std::cmp::Ordering::Greater => Err(MigrationError::Newer { found, known: needed }),
    }
}
