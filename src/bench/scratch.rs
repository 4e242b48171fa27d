//! A database for one measurement.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Pool;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

use crate::{
    config::{Config, Databases},
    log::{Appender, Position},
    postgres,
};

const CHECKPOINT: &str = include_str!("checkpoint.sql");
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A migrated database beside the one named in the configuration.
pub struct Scratch {
    server: Client,
    name: String,
    pub url: SecretString,
}

impl Scratch {
    /// Makes it on the server of the migrator, whose login needs the right to create databases.
    pub async fn new(databases: &Databases) -> anyhow::Result<Self> {
        let url = databases.migrator.as_ref().context("no migrator's URL is configured")?;
        let (server, connection) = postgres::connect(url, databases.tcp_user_timeout).await?;
        tokio::spawn(connection);
        let name = format!("annals_bench_{}", Uuid::now_v7().simple());
        server.batch_execute(&format!("create database {name}")).await?;
        let url = SecretString::from(other_database(url.expose_secret(), &name));
        postgres::migrate_log(&url, MIGRATION_TIMEOUT).await?;
        postgres::migrate_read_models(&url, MIGRATION_TIMEOUT).await?;
        Ok(Self { server, name, url })
    }

    /// A connection to it.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        let (client, connection) = postgres::connect(&self.url, MIGRATION_TIMEOUT).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Connections to it, as the program has them.
    pub(super) fn pool(&self, config: &Config) -> anyhow::Result<Pool> {
        Ok(postgres::pool(&self.url, &config.databases)?)
    }

    /// An appender to it whose task runs, and the last position it appended.
    pub(super) fn appender(&self, config: &Config) -> (Appender, watch::Receiver<Position>) {
        let (appended, head) = watch::channel(Position::default());
        let patience = config.databases.tcp_user_timeout;
        let (appender, task) = Appender::new(self.url.clone(), patience, config.append.clone(), appended);
        tokio::spawn(task.run());
        (appender, head)
    }

    /// Has the server write what is dirty, where the login may: what was done before is not to slow down what is measured next.
    pub(super) async fn checkpoint(&self) -> anyhow::Result<()> {
        match self.server.batch_execute(CHECKPOINT).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Drops it, sessions and all.
    pub async fn drop(self) -> anyhow::Result<()> {
        self.server.batch_execute(&format!("drop database {} with (force)", self.name)).await?;
        Ok(())
    }
}

/// The URL of another database on the same server, reached the same way: only the name changes.
fn other_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let host = address.find("://").map_or(0, |scheme| scheme + "://".len());
    let server = address[host..].find('/').map_or(address, |path| &address[..host + path]);
    // A name there would win over the path's.
    let kept: Vec<_> =
        parameters.split('&').filter(|one| !one.is_empty() && !one.starts_with("dbname=")).collect();
    match kept.is_empty() {
        true => format!("{server}/{name}"),
        false => format!("{server}/{name}?{}", kept.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::other_database;

    #[test]
    fn another_database_is_reached_the_same_way() {
        for (url, other) in [
            ("postgres://u:p@db:5432/annals", "postgres://u:p@db:5432/scratch"),
            (
                "postgres://db/annals?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
                "postgres://db/scratch?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
            ),
            ("postgres://db?sslmode=require", "postgres://db/scratch?sslmode=require"),
            ("postgres:///annals?host=/run/pg&dbname=annals", "postgres:///scratch?host=/run/pg"),
        ] {
            assert_eq!(other_database(url, "scratch"), other, "{url}");
        }
    }
}
