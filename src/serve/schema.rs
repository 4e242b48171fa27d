//! Migrates or checks the schemas before the parts of a process run, and gives a restored log a new identity.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    config::Config,
    domain, kafka,
    log::{Identity, LogReader},
    postgres, projector,
};

/// The migrations that were applied now.
#[derive(Debug, Serialize)]
pub struct Applied {
    pub log: Vec<String>,
    pub read_models: Vec<String>,
}

/// Migrates when this process may, otherwise checks.
pub(super) async fn prepare(config: &Config) -> anyhow::Result<()> {
    let databases = &config.databases;
    if databases.is_shared() {
        warn!(
            "one database URL serves all roles: fit for development; give each role its own (docs/security.md)"
        );
    }
    if databases.migrator.is_some() {
        migrate(config).await?;
        return Ok(());
    }
    postgres::check_log(&postgres::pool(&databases.writer, databases)?).await?;
    let read_models = databases.read_models_as_projector();
    postgres::check_read_models(&postgres::pool(read_models, databases)?).await?;
    Ok(())
}

/// Brings the log's and the read models' schemas up to date.
pub async fn migrate(config: &Config) -> anyhow::Result<Applied> {
    let databases = &config.databases;
    let migrator =
        databases.migrator.as_ref().context("no URL of the migrator is configured: set migrator_url")?;
    let read_models_migrator = databases.read_models_migrator.as_ref().unwrap_or(migrator);
    let log = postgres::migrate_log(migrator, databases.tcp_user_timeout).await?;
    let read_models = postgres::migrate_read_models(read_models_migrator, databases.tcp_user_timeout).await;
    let read_models = read_models
        .context("the read models' database was not migrated; read_models_migrator_url names who may")?;
    for applied in log.iter().chain(&read_models) {
        info!(migration = applied, "applied");
    }
    Ok(Applied { log, read_models })
}

/// Makes the log, which is migrated, another one, after a restore that left it behind Kafka and the read models: its topics
/// are deleted and sent anew, its read models are dropped and built anew. Every step may be done again. No server may run
/// meanwhile.
pub async fn begin_incarnation(config: &Config) -> anyhow::Result<Uuid> {
    let databases = &config.databases;
    let migrator =
        databases.migrator.as_ref().context("no URL of the migrator is configured: set migrator_url")?;
    let owner = postgres::owner_session(migrator, databases.tcp_user_timeout).await?;
    let log_id = Identity::begin_incarnation(&owner).await?;
    info!(%log_id, "the log has a new identity");
    if let Some(kafka) = config.kafka.clone() {
        let reader = LogReader::new(postgres::pool(&databases.writer, databases)?);
        // Those of the program too: what the backup does not know of may have had its first event after it.
        let registry = domain::registry();
        let mut names: BTreeSet<String> =
            registry.aggregates().map(|aggregate| aggregate.stream_type().to_owned()).collect();
        names.extend(reader.stream_types().await?.into_keys());
        let topics: Vec<_> = names.iter().map(|name| kafka::topic(&kafka.topic_prefix, name)).collect();
        let deleted = spawn_blocking(move || kafka::delete_topics(&kafka, &topics)).await??;
        info!(topics = ?deleted, "deleted; the relay makes them again and sends the whole log");
    }
    let read = databases.read_models_as_projector();
    let dropped = projector::forget(&postgres::pool(read, databases)?).await?;
    info!(generations = dropped, "dropped; the projectors build them again from the whole log");
    Ok(log_id)
}
