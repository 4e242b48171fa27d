//! Connections to Postgres, migrations, and what its errors mean.
//!
//! Leaves every statement to the module that owns the tables. Errors are told apart by SQLSTATE, never by message.

mod advice;
mod connect;
mod migrate;
mod silence;

use std::time::Duration;

pub use connect::{Sessions, connect, notifications, session};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, QueueMode, RecyclingMethod, Runtime,
};
pub use migrate::{
    MigrationError, check_log, check_read_models, migrate_log, migrate_read_models, owner_session,
};
use secrecy::SecretString;
use silence::{Connecting, Made, Server};
use tokio::time::timeout;
use tokio_postgres::{Config, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{config::Databases, tls};

/// Why a database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the database URL does not begin with postgres:// or postgresql://, as postgres://user@host/database does"
    )]
    NoUrl,
    #[error("the database URL is not valid: {}", told(.0))]
    Url(tokio_postgres::Error),
    #[error(
        "`sslmode={0}` in the database URL is none of disable, allow, prefer, require, verify-ca and verify-full"
    )]
    SslMode(String),
    #[error(
        "`sslmode={0}` is too weak for `sslrootcert=system` in the database URL: leave it out, or make it verify-full"
    )]
    SystemAuthorities(String),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("no connection to the database: {}", refused(.0))]
    Connect(PoolError),
    #[error("the connection pool could not be made: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
    #[error("{}", told(.0))]
    Statement(tokio_postgres::Error),
    /// Nothing came for too long, though the connection stands: the server may be frozen.
    #[error("the database did not answer in time")]
    Silent,
    #[error("the database ended the connection")]
    Ended,
}

// Each tells its cause itself, so it names no source: whoever prints the chain would say it twice.
impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Connect(error)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

/// What Postgres said, or what happened to the connection, and what to do. By itself the driver says "db error".
fn told(error: &tokio_postgres::Error) -> String {
    let told = match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    };
    match advice::advice(error) {
        Some(advice) => format!("{told}: {advice}"),
        None => told,
    }
}

/// What to do about a database error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The data of this very request: classes 21, 22, 23 and 54. The same again fails again.
    Data,
    /// It may pass: connection lost, deadlock, shutdown, resources. Whether it took effect is unknown.
    Transient,
    /// The statement or the schema is wrong: somebody has to mend it.
    Fatal,
}

impl Error {
    /// What to do about it.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Statement(error) => classify(error),
            // The session may not have the role, or the time, that was asked for: it never will.
            Self::Connect(PoolError::Backend(error))
                if matches!(
                    error.code(),
                    Some(&SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::INVALID_PARAMETER_VALUE)
                ) =>
            {
                Failure::Fatal
            }
            Self::Connect(_) | Self::Silent | Self::Ended => Failure::Transient,
            Self::NoUrl
            | Self::Url(_)
            | Self::SslMode(_)
            | Self::SystemAuthorities(_)
            | Self::Tls(_)
            | Self::Pool(_) => Failure::Fatal,
        }
    }
}

fn refused(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => told(error),
        other => other.to_string(),
    }
}

/// What to do about an error of a statement, by the class of its SQLSTATE
/// (PostgreSQL documentation, Appendix A). No SQLSTATE means that the connection broke.
pub fn classify(error: &tokio_postgres::Error) -> Failure {
    let Some(state) = error.code() else {
        return Failure::Transient;
    };
    match state.code().get(..2) {
        Some("21" | "22" | "23" | "54") => Failure::Data,
        Some("08" | "40" | "53" | "55" | "57" | "58") => Failure::Transient,
        _ if *state == SqlState::READ_ONLY_SQL_TRANSACTION => Failure::Transient,
        // Of what was sent together something before it failed, which the next try may be told.
        _ if *state == SqlState::IN_FAILED_SQL_TRANSACTION => Failure::Transient,
        _ => Failure::Fatal,
    }
}

/// Whether a statement went beyond what one statement may take: itself, not the database, is why it failed.
pub fn exceeds_a_limit(error: &Error) -> bool {
    let Error::Statement(error) = error else {
        return false;
    };
    error.code().is_some_and(|state| {
        [SqlState::QUERY_CANCELED, SqlState::CONFIGURATION_LIMIT_EXCEEDED].contains(state)
    })
}

/// What a database answers within `time`. On a connection that stands, though nothing comes over it any more, one would wait for
/// ever; `give_up` sees to it that the next one to ask does not meet the same.
pub async fn in_time<T, E: From<Error>>(
    time: Duration,
    asking: impl Future<Output = Result<T, E>>,
    give_up: impl FnOnce(),
) -> Result<T, E> {
    timeout(time, asking).await.unwrap_or_else(|_| {
        give_up();
        Err(Error::Silent.into())
    })
}

/// A pool of connections for one role. Connections are made when first needed.
pub fn pool(url: &SecretString, databases: &Databases) -> Result<Pool, Error> {
    let (config, tls) = session(url, databases.tcp_user_timeout)?;
    build(Manager::from_config(config, tls, RECYCLING), databases)
}

/// The same; a session on which nothing comes for `patience`, though its connection stands, is given up unless the server is at
/// work for it. So nobody may keep one for longer without asking anything. Within a runtime.
pub fn watched_pool(url: &SecretString, databases: &Databases, patience: Duration) -> Result<Pool, Error> {
    let (config, tls) = session(url, databases.tcp_user_timeout)?;
    let server = Server { url: url.clone(), tcp_user_timeout: databases.tcp_user_timeout };
    watched(config, tls, databases, patience, Some(server))
}

/// A pool whose sessions act as the reader, change nothing, and give a statement up after `statement_timeout`. A session that is
/// silent for longer, and for the `tcp_user_timeout` beyond, is given up. Within a runtime.
pub fn reading_pool(
    url: &SecretString,
    databases: &Databases,
    statement_timeout: Duration,
) -> Result<Pool, Error> {
    let (config, tls) = session(url, databases.tcp_user_timeout)?;
    let options = "-c role=annals_reader -c default_transaction_read_only=on";
    let config = bounded(config, statement_timeout, options);
    watched(config, tls, databases, statement_timeout + databases.tcp_user_timeout, None)
}

/// A pool whose sessions begin with `options` and give a statement up after `statement_timeout`.
pub fn bounded_pool(
    url: &SecretString,
    databases: &Databases,
    statement_timeout: Duration,
    options: &str,
) -> Result<Pool, Error> {
    let (config, tls) = session(url, databases.tcp_user_timeout)?;
    let config = bounded(config, statement_timeout, options);
    build(Manager::from_config(config, tls, RECYCLING), databases)
}

fn bounded(mut config: Config, statement_timeout: Duration, options: &str) -> Config {
    let before = config.get_options().unwrap_or_default();
    let options = format!("{before} {options} -c statement_timeout={}ms", statement_timeout.as_millis());
    config.options(options);
    config
}

fn watched(
    config: Config,
    tls: MakeRustlsConnect,
    databases: &Databases,
    patience: Duration,
    server: Option<Server>,
) -> Result<Pool, Error> {
    let made = Made::default();
    let connecting = Connecting { tls, made: made.clone(), are_asked_about: server.is_some() };
    let pool = build(Manager::from_connect(config, connecting, RECYCLING), databases)?;
    silence::watch(&pool, made, patience, server);
    Ok(pool)
}

/// A session that is older is not used again: what it has prepared for generations that are gone goes with it.
const SESSION_AGE_MAX: Duration = Duration::from_secs(3_600);

const RECYCLING: ManagerConfig = ManagerConfig { recycling_method: RecyclingMethod::Fast };

fn build(manager: Manager, databases: &Databases) -> Result<Pool, Error> {
    Ok(Pool::builder(manager)
        .max_size(databases.pool_size)
        // The session that was used last has what it needs at hand: plans, catalogs, memory.
        .queue_mode(QueueMode::Lifo)
        .pre_recycle(Hook::sync_fn(|_, session| match session.age() {
            age if age > SESSION_AGE_MAX => Err(HookError::message("old")),
            _ => Ok(()),
        }))
        .wait_timeout(Some(databases.pool_wait))
        .create_timeout(Some(databases.pool_wait))
        .runtime(Runtime::Tokio1)
        .build()?)
}
