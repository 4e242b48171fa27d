//! The parts of the program put together in one process: which run, in which order they start and end.
//!
//! Ends in the order of the flow: the API first (nothing new comes in, what was accepted is answered), then those that
//! carry events on. What they leave undone another process, or the next start, goes on with.

use std::sync::Arc;

use anyhow::Context;
use deadpool_postgres::Pool;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    command::{Commands, background},
    config::Config,
    domain,
    log::{Appender, CommandLog, Identity, LogReader, Position, head},
    postgres, relay,
};

/// A part of the program that can run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes commands and answers reads.
    Api,
    /// Sends the log to Kafka.
    Relay,
    /// Folds events into read models.
    Projector,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Api, Self::Relay, Self::Projector];
}

/// What the parts share.
struct Process {
    config: Config,
    writer: Pool,
    identity: Identity,
    /// Of the log, as far as this process has heard.
    head: watch::Receiver<Position>,
    tasks: TaskTracker,
    /// Ends the parts behind the API.
    shutdown: CancellationToken,
}

/// Runs these parts until `shutdown`; returns when all have ended.
pub async fn run(config: Config, roles: &[Role], shutdown: CancellationToken) -> anyhow::Result<()> {
    prepare_schema(&config).await?;
    let writer = postgres::pool(&config.databases.writer, &config.databases)?;
    let identity = Identity::read(&writer).await.context("the log cannot be read")?;
    info!(log_id = %identity.log_id, "the log");
    let (told, head) = watch::channel(Position::default());
    let (appended, last_appended) = watch::channel(Position::default());
    let process = Process {
        writer,
        identity,
        head,
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        config,
    };
    let databases = &process.config.databases;
    let (url, patience) = (databases.writer.clone(), databases.tcp_user_timeout);
    process.spawn(head::listen(url, patience, last_appended.clone(), told, process.shutdown.clone()));
    if roles.contains(&Role::Relay) {
        process.relay()?;
    }
    if roles.contains(&Role::Projector) {
        process.projector()?;
    }
    if roles.contains(&Role::Api) {
        process.api(appended, last_appended, shutdown).await?;
    } else {
        shutdown.cancelled().await;
    }
    process.end().await;
    Ok(())
}

/// Migrates when this process may, otherwise checks.
async fn prepare_schema(config: &Config) -> anyhow::Result<()> {
    let databases = &config.databases;
    if databases.is_shared() {
        warn!("one database URL serves all roles: fit for development; give each role its own (docs/security.md)");
    }
    if databases.migrator.is_some() {
        return migrate(config).await;
    }
    postgres::check_log(&postgres::pool(&databases.writer, databases)?).await?;
    let read_models = databases.read_models.as_ref().unwrap_or(&databases.projector);
    postgres::check_read_models(&postgres::pool(read_models, databases)?).await?;
    Ok(())
}

/// Brings the log's and the read models' schemas up to date.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let databases = &config.databases;
    let migrator = databases.migrator.as_ref().context("no URL of the migrator is configured: set migrator_url")?;
    let read_models = databases.read_models.as_ref().unwrap_or(migrator);
    let log = postgres::migrate_log(migrator, databases.tcp_user_timeout).await?;
    let read = postgres::migrate_read_models(read_models, databases.tcp_user_timeout).await?;
    for applied in log.iter().chain(&read) {
        info!(migration = applied, "applied");
    }
    Ok(())
}

impl Process {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn relay(&self) -> anyhow::Result<()> {
        let Some(kafka) = self.config.kafka.clone() else {
            info!("no Kafka is configured: the relay is off, projectors read the log");
            return Ok(());
        };
        let (status, _) = watch::channel(relay::Status::default());
        let deps = relay::Deps {
            reader: LogReader::new(postgres::pool(&self.config.databases.writer, &self.config.databases)?),
            writer: self.writer.clone(),
            identity: self.identity.clone(),
            head: self.head.clone(),
            status,
        };
        self.spawn(relay::run(deps, kafka, self.config.relay.clone(), self.shutdown.clone()));
        Ok(())
    }

    fn projector(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Serves until `shutdown`.
    async fn api(
        &self,
        appended: watch::Sender<Position>,
        last_appended: watch::Receiver<Position>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let databases = &self.config.databases;
        let (url, patience) = (databases.writer.clone(), databases.tcp_user_timeout);
        self.spawn(head::announce(url.clone(), patience, last_appended, self.shutdown.clone()));
        let (appender, task) = Appender::new(url, patience, self.config.append.clone(), appended);
        self.spawn(task.run());
        let commands = Commands::new(
            Arc::new(domain::registry()),
            LogReader::new(self.writer.clone()),
            appender,
            CommandLog::new(self.writer.clone()),
            self.identity.clone(),
            self.config.command.clone(),
        );
        self.spawn(background::run(commands.clone(), self.shutdown.clone()));
        self.spawn(background::clean(commands.clone(), self.shutdown.clone()));
        shutdown.cancelled().await;
        Ok(())
    }

    /// Ends what is left, within its time.
    async fn end(self) {
        self.shutdown.cancel();
        self.tasks.close();
        if timeout(self.config.shutdown_timeout, self.tasks.wait()).await.is_err() {
            warn!(left = self.tasks.len(), "the time for the shutdown is over; what is left is cut off");
        }
    }
}
