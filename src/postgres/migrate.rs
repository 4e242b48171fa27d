//! Brings a database's schema to what this program knows.
//!
//! Runs on a connection of its own, under an advisory lock, so that many processes may start at once. A schema newer
//! than the program, or one that differs from what the program applied, is refused.

use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::NoTls;

use super::session;

mod log_files {
    refinery::embed_migrations!("schema/log");
}

mod read_files {
    refinery::embed_migrations!("schema/read");
}

const ROLES: &str = include_str!("../../schema/roles.sql");
const LOG_SCHEMA: &str = include_str!("../../schema/log_schema.sql");
const READ_SCHEMA: &str = include_str!("../../schema/read_schema.sql");
const LOCK: &str = include_str!("migrate_lock.sql");
const ACT_AS_OWNER: &str = "set role annals_owner";

/// Why a schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Database(#[from] super::Error),
    #[error("the database refused: {0}")]
    Statement(#[from] tokio_postgres::Error),
    #[error(
        "the schema does not fit this program: {0}. A newer program may have migrated it: use that one, or restore \
         a backup from before"
    )]
    Migration(#[from] refinery::Error),
}

/// Migrates the log's database; returns the names of the migrations applied now.
pub async fn migrate_log(url: &SecretString, timeout: Duration) -> Result<Vec<String>, MigrationError> {
    let runner = log_files::migrations::runner();
    migrate(url, timeout, LOG_SCHEMA, runner, "log.migrations").await
}

/// Migrates the read models' database, which may be the same one.
pub async fn migrate_read_models(
    url: &SecretString,
    timeout: Duration,
) -> Result<Vec<String>, MigrationError> {
    let runner = read_files::migrations::runner();
    migrate(url, timeout, READ_SCHEMA, runner, "projections.migrations").await
}

async fn migrate(
    url: &SecretString,
    timeout: Duration,
    schema: &str,
    mut runner: refinery::Runner,
    applied_table: &str,
) -> Result<Vec<String>, MigrationError> {
    let (mut client, connection) = session(url, timeout)?.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(LOCK).await?;
    client.batch_execute(ROLES).await?;
    client.batch_execute(schema).await?;
    client.batch_execute(ACT_AS_OWNER).await?;
    runner.set_migration_table_name(applied_table);
    let report = runner.set_grouped(true).run_async(&mut client).await?;
    drop(client);
    // The session ends with the client, and its lock with it.
    let _ = connection.await;
    Ok(report
        .applied_migrations()
        .iter()
        .map(ToString::to_string)
        .collect())
}
