//! The parts of the program put together in one process: which run, in which order they start and end.
//!
//! Ends in the order of the flow: the API first (nothing new comes in, what was accepted is answered), then those that
//! carry events on. What they leave undone another process, or the next start, goes on with.

mod folders;
mod health;
mod logins;
mod observe;
mod pools;
mod schema;
mod tasks;
mod telling;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use deadpool_postgres::Pool;
use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::watch, time};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::{
    folders::{UnfitFolders, folders},
    schema::{begin_incarnation, migrate},
};
use self::{logins::Login, pools::Pools, tasks::Tasks};
use crate::{
    admin::Admin,
    aggregate::Registry,
    api::{self, auth::keys},
    audit::{Audit, index},
    command::{Commands, background, topic},
    config::{Auth, Config},
    domain,
    log::{Appender, CommandLog, Identity, LogReader, Position, head},
    postgres,
    projector::{self, Folder, Progress, wanted},
    read_model::ReadModels,
    rebuild, relay,
    trace::Spans,
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
    /// Up to where this process appended.
    appended: watch::Receiver<Position>,
    registry: Arc<Registry>,
    relay_status: watch::Sender<relay::Status>,
    sent: relay::Sent,
    topic_status: watch::Sender<topic::Status>,
    progress: Progress,
    metrics: PrometheusHandle,
    pools: Pools,
    logins: Vec<Login>,
    tasks: Tasks,
    /// Ends the parts behind the API.
    shutdown: CancellationToken,
}

/// Runs these parts until `shutdown`; returns when all have ended, with the time by which the process has to. `listening` is
/// told the API's address.
pub async fn run(
    config: Config,
    roles: &[Role],
    shutdown: CancellationToken,
    listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<time::Instant> {
    let patience = config.shutdown_timeout;
    let deadline = shutdown.clone().cancelled_owned().map(move |()| time::Instant::now() + patience);
    let deadline = tokio::spawn(deadline);
    let folders = folders(&config.projections_dir)?;
    let Some(prepared) = shutdown.run_until_cancelled(schema::prepare(&config)).await else {
        return Ok(deadline.await?);
    };
    prepared?;
    let pools = Pools::new(&config.databases, config.projector.session_timeout);
    let writer = pools.open("writer", &config.databases.writer)?;
    let identity = Identity::read(&writer).await.context("the log cannot be read")?;
    info!(log_id = %identity.log_id, "the log");
    let (told, head) = watch::channel(Position::default());
    let (appended, last_appended) = watch::channel(Position::default());
    let process = Process {
        progress: Progress::new(folders.iter().map(|folder| folder.name.as_str())),
        relay_status: watch::Sender::default(),
        sent: relay::Sent::default(),
        topic_status: watch::Sender::default(),
        registry: Arc::new(domain::registry()),
        metrics: observe::recorder()?,
        tasks: Tasks::new(shutdown.clone()),
        shutdown: CancellationToken::new(),
        logins: logins::of(&pools, &config.databases, roles)?,
        pools,
        writer,
        identity,
        head,
        appended: last_appended.clone(),
        config,
    };
    let databases = &process.config.databases;
    let (url, patience) = (databases.writer.clone(), databases.tcp_user_timeout);
    let hearing = head::listen(url, patience, last_appended.clone(), told, process.shutdown.clone());
    process.spawn("the log's head", hearing);
    let open = process.open(roles, shutdown.clone())?;
    process.listen_for_scrapes(open.clone()).await?;
    if roles.contains(&Role::Relay) {
        process.relay()?;
    }
    if roles.contains(&Role::Projector) {
        process.projector(folders.clone())?;
    }
    if roles.contains(&Role::Api) {
        let commands = process.commands(appended, last_appended)?;
        process.command_topic(&commands, &folders);
        process.api(commands, folders, open, listening, shutdown).await?;
    } else {
        process.observe(None)?;
        shutdown.cancelled().await;
    }
    let deadline = deadline.await?;
    process.end(deadline).await?;
    Ok(deadline)
}

/// The command pipeline alone, for one command from the command line. Servers hear of it by their slow poll.
pub async fn pipeline(config: &Config) -> anyhow::Result<Commands> {
    let writer = postgres::pool(&config.databases.writer, &config.databases)?;
    postgres::check_log(&writer).await?;
    let (url, patience) = (config.databases.writer.clone(), config.databases.tcp_user_timeout);
    let (appended, _) = watch::channel(Position::default());
    let (appender, task) = Appender::new(url, patience, config.append.clone(), appended);
    tokio::spawn(task.run());
    Ok(Commands::new(
        Arc::new(domain::registry()),
        LogReader::new(writer.clone()),
        appender,
        CommandLog::new(writer.clone()),
        Identity::read(&writer).await?,
        config.command.clone(),
    ))
}

impl Process {
    fn spawn(&self, part: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(part, task);
    }

    /// The log through a pool.
    fn log(&self, pool: Pool) -> LogReader {
        LogReader::beside(pool, self.appended.clone())
    }

    fn relay(&self) -> anyhow::Result<()> {
        let Some(kafka) = self.config.kafka.clone() else {
            info!("no Kafka is configured: the relay is off, projectors read the log");
            return Ok(());
        };
        let databases = &self.config.databases;
        let deps = relay::Deps {
            reader: self.log(self.pools.open("relay_of_log", &databases.writer)?),
            // The lease must not wait behind the commands and readers of this process.
            writer: self.pools.bounded("relay", &databases.writer, 4, self.config.relay.lease_ttl)?,
            identity: self.identity.clone(),
            head: self.head.clone(),
            status: self.relay_status.clone(),
            sent: self.sent.clone(),
            spans: Spans::new(&self.config.log),
        };
        let limits = self.config.relay.clone();
        self.spawn("the relay", relay::run(deps, kafka, limits, self.shutdown.clone()));
        Ok(())
    }

    fn projector(&self, folders: Vec<Folder>) -> anyhow::Result<()> {
        let (kafka, limits) = (self.config.kafka.clone(), self.config.projector.clone());
        let shutdown = || self.shutdown.clone();
        let rebuilds = self.folding("rebuilds", "rebuilds_of_log")?;
        let workers = self.folding("projector", "projector_of_log")?;
        let databases = &self.config.databases;
        let url = databases.read_models_as_projector().clone();
        let hearing = wanted::listen(url, databases.tcp_user_timeout, self.progress.clone(), shutdown());
        self.spawn("who waits elsewhere", hearing);
        self.spawn("the rebuilds", rebuild::run(rebuilds, folders.clone(), limits.clone(), shutdown()));
        self.spawn("the projector", projector::run(workers, folders, kafka, limits, shutdown()));
        Ok(())
    }

    /// What folds stand on. Each with pools of its own, so that rebuilds do not keep workers waiting; and one for the log
    /// beside that for the read models, for a fold reads the log while it holds a transaction.
    fn folding(&self, part: &'static str, of_log: &'static str) -> anyhow::Result<projector::Deps> {
        let databases = &self.config.databases;
        let read = databases.read_models_as_projector();
        Ok(projector::Deps {
            reader: self.log(self.pools.open(of_log, &databases.projector)?),
            read: self.pools.open(part, read)?,
            registry: self.registry.clone(),
            log_id: self.identity.log_id,
            head: self.head.clone(),
            progress: self.progress.clone(),
            spans: Spans::new(&self.config.log),
        })
    }

    /// The command pipeline, with what works for it in the background.
    fn commands(
        &self,
        appended: watch::Sender<Position>,
        last_appended: watch::Receiver<Position>,
    ) -> anyhow::Result<Commands> {
        let databases = &self.config.databases;
        let (url, patience) = (databases.writer.clone(), databases.tcp_user_timeout);
        let announcing = head::announce(url.clone(), patience, last_appended, self.shutdown.clone());
        self.spawn("notifications", announcing);
        let (appender, task) = Appender::new(url, patience, self.config.append.clone(), appended);
        self.spawn("the appender", task.run());
        self.observe(Some(appender.clone()))?;
        let time_max = self.config.command.database_timeout;
        let pool = self.pools.bounded("commands", &databases.writer, databases.pool_size, time_max)?;
        let commands = Commands::new(
            self.registry.clone(),
            self.log(pool.clone()),
            appender,
            CommandLog::new(pool),
            self.identity.clone(),
            self.config.command.clone(),
        );
        self.spawn("accepted commands", background::run(commands.clone(), self.shutdown.clone()));
        self.spawn("cleaning", background::clean(commands.clone(), self.shutdown.clone()));
        Ok(commands)
    }

    /// Commands from Kafka, where there is one and somebody they count for.
    fn command_topic(&self, commands: &Commands, folders: &[Folder]) {
        let (Some(kafka), Some(principal)) =
            (self.config.kafka.clone(), self.config.command_topic.principal.clone())
        else {
            return;
        };
        let document = api::document::of_program(folders);
        let deps = topic::Deps {
            commands: commands.clone(),
            contract: Arc::new(api::contract(&document, self.config.body_limit_bytes)),
            log_id: self.identity.log_id,
            principal,
            status: self.topic_status.clone(),
        };
        let limits = self.config.command_topic.clone();
        self.spawn("the command topic", topic::run(deps, kafka, limits, self.shutdown.clone()));
    }

    /// Serves until `shutdown`, and until what was accepted is answered.
    async fn api(
        &self,
        commands: Commands,
        folders: Vec<Folder>,
        open: api::Open,
        listening: impl FnOnce(SocketAddr),
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let listener = bind(self.config.listen, "ANNALS_LISTEN").await?;
        let address = listener.local_addr()?;
        let deps = api::Deps {
            registry: self.registry.clone(),
            log: self.log(self.writer.clone()),
            log_id: self.identity.log_id,
            read_models: self.read_models()?,
            audit: self.audit()?,
            admin: self.admin(commands.clone(), folders.clone())?,
            commands,
            folders,
            // Guesses must not take the connections of commands and readers.
            keys: self.pools.bounded(
                "keys",
                &self.config.databases.writer,
                4,
                self.config.api.request_timeout,
            )?,
            open,
        };
        if matches!(self.config.auth, Auth::Keys) && !keys::any(&self.writer).await? {
            warn!("no API key works yet: `annals keys create NAME --role admin` makes one");
        }
        listening(address);
        api::serve(deps, &self.config, listener, shutdown).await;
        Ok(())
    }

    /// The read models, as the role that may only read.
    fn read_models(&self) -> anyhow::Result<ReadModels> {
        let databases = &self.config.databases;
        let log = self.log(self.pools.open("reads_of_log", &databases.reader)?);
        let sent = self.config.kafka.as_ref().map(|_| self.sent.clone());
        let (progress, limits) = (self.progress.clone(), self.config.reads.clone());
        let models = ReadModels::new(databases, log, sent, progress, limits)?;
        self.pools.add("reads", models.pool());
        Ok(models)
    }

    /// What follows from what admins do.
    fn admin(&self, commands: Commands, folders: Vec<Folder>) -> anyhow::Result<Admin> {
        let databases = &self.config.databases;
        let read = databases.read_models_as_projector();
        let read = self.pools.open("admin", read)?;
        let admin = Admin::new(commands, self.writer.clone(), read, folders, &self.config);
        self.spawn("what admins ask for", admin.clone().run(self.shutdown.clone()));
        Ok(admin)
    }

    /// What auditors ask, and what fills their index.
    fn audit(&self) -> anyhow::Result<Audit> {
        let (databases, limits) = (&self.config.databases, self.config.audit.clone());
        let (told, indexed) = watch::channel(Position::default());
        let deps = index::Deps { pool: self.writer.clone(), head: self.head.clone(), indexed: told };
        self.spawn("the auditors' index", index::run(deps, limits.clone(), self.shutdown.clone()));
        let reader = self.pools.open("audit", &databases.reader)?;
        let (writer, registry) = (self.writer.clone(), self.registry.clone());
        Ok(Audit::new(reader, writer, registry, self.head.clone(), indexed, limits))
    }

    /// Ends what is left, within its time; an error where a part had panicked.
    async fn end(self, deadline: time::Instant) -> anyhow::Result<()> {
        self.shutdown.cancel();
        Ok(self.tasks.end(deadline).await?)
    }
}

async fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{address} cannot be listened on: choose another address with {variable}"))
}
