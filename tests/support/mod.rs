//! What the integration tests share: a database each, topics of their own, and waiting for a condition.
//!
//! `ANNALS_DATABASE_URL` names the server that the databases are made on, `ANNALS_KAFKA_BROKERS` the brokers;
//! `make test` sets both.

#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]

pub mod authority;
pub mod group;
pub mod issuer;
pub mod keys;
pub mod logins;
pub mod names;
pub mod process;
pub mod proxy;
pub mod server;
pub mod stack;
pub mod topic;

use std::time::Duration;

use annals::{
    aggregate::{Registry, Rejection},
    command::{Answer, Commands, Outcome, Request},
    config::{Config, Sources},
    domain,
    log::{
        Append, Appender, CommandLog, Event, Expected, Identity, LogReader, NewEvent, Position, Status,
        StreamId,
    },
    postgres,
};
use deadpool_postgres::Pool;
use secrecy::SecretString;
use tokio::{sync::watch, time::Instant};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// How long a condition may take to come true: far beyond what it needs, so that only a hang fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The brokers to test against.
pub fn kafka_brokers() -> String {
    required("ANNALS_KAFKA_BROKERS")
}

/// A topic prefix that no other test uses.
pub fn topic_prefix() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run the tests with `make test`"))
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`DEADLINE`].
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A migrated database of its own, dropped at the end.
pub struct Database {
    pub url: String,
    name: String,
    server: String,
}

impl Database {
    pub async fn new() -> Self {
        Self::migrated(Self::empty().await).await
    }

    async fn migrated(database: Self) -> Self {
        let url = SecretString::from(database.url.clone());
        postgres::migrate_log(&url, DEADLINE).await.expect("the log migrates");
        postgres::migrate_read_models(&url, DEADLINE).await.expect("the read models migrate");
        database
    }

    /// On another server than the one that all tests share.
    pub async fn at(server: String) -> Self {
        Self::migrated(Self::empty_at(server).await).await
    }

    /// Without any schema.
    pub async fn empty() -> Self {
        Self::empty_at(required("ANNALS_DATABASE_URL")).await
    }

    /// The same on another server than the one that all tests share.
    pub async fn empty_at(server: String) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let client = connect(&server).await;
        client.batch_execute(&format!("create database {name}")).await.expect("a database is created");
        Self { url: with_database(&server, &name), name, server }
    }

    /// A copy as it is now; nobody may be connected.
    pub async fn copy(&self) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let client = connect(&self.server).await;
        until("nobody is connected", || async {
            client.batch_execute(&format!("create database {name} template {}", self.name)).await.is_ok()
        })
        .await;
        Self { url: with_database(&self.server, &name), name, server: self.server.clone() }
    }

    /// The program's configuration for this database and the given settings.
    pub fn config(&self, settings: &[(&str, &str)]) -> Config {
        let own = [("database_url", self.url.clone()), ("listen", "127.0.0.1:0".to_owned())];
        let more = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Config::from_sources(Sources::of(own.into_iter().chain(more)))
            .expect("the test's configuration is valid")
    }

    pub fn pool(&self) -> Pool {
        let config = self.config(&[]);
        postgres::pool(&config.databases.writer, &config.databases).expect("a pool")
    }

    pub fn reader(&self) -> LogReader {
        LogReader::new(self.pool())
    }

    pub async fn identity(&self) -> Identity {
        Identity::read(&self.pool()).await.expect("the log has an identity")
    }

    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// An appender whose task runs, and the last position it appended.
    pub fn appender(&self, settings: &[(&str, &str)]) -> (Appender, watch::Receiver<Position>) {
        let config = self.config(settings);
        let (sender, appended) = watch::channel(Position::default());
        let url = config.databases.writer;
        let (appender, task) = Appender::new(url, config.databases.tcp_user_timeout, config.append, sender);
        tokio::spawn(task.run());
        (appender, appended)
    }

    /// The whole log.
    pub async fn events(&self) -> Vec<Event> {
        self.reader()
            .after(Position(0), None, usize::MAX >> 1, usize::MAX)
            .await
            .expect("the log is readable")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // Dropping needs a connection, and a test's own runtime may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = connect(&server).await;
                let _ = client.batch_execute(&format!("drop database if exists {name} with (force)")).await;
            });
        });
        let _ = dropping.join();
    }
}

/// A connection of its own.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test database answers");
    tokio::spawn(connection);
    client
}

fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("the URL ends in a database's name");
    format!("{server}/{name}")
}

pub fn registry() -> Registry {
    domain::registry()
}

/// An append of one event with this data, to a new stream.
pub fn append(event_type: &str, data: &str) -> Append {
    append_to(Uuid::now_v7(), Expected::NoStream, &[(event_type, data)])
}

/// An append of events, given by type and data.
pub fn append_to(stream_id: Uuid, expected: Expected, events: &[(&str, &str)]) -> Append {
    let command_id = Uuid::now_v7();
    let (stream_type, _) = events[0].0.split_once('.').expect("event types have a stream type");
    let metadata = format!(r#"{{"actor":"test","command_id":"{command_id}","correlation_id":"test"}}"#);
    Append {
        command_id,
        command_type: "test.append".into(),
        principal: "test".into(),
        idempotency_key: None,
        fingerprint: vec![1; 32],
        correlation_id: "test".into(),
        stream: StreamId { stream_type: stream_type.into(), id: stream_id },
        expected,
        events: events
            .iter()
            .map(|(event_type, data)| NewEvent {
                event_id: Uuid::now_v7(),
                event_type: (*event_type).into(),
                schema_version: 1,
                data: annals::json::RawJson::trusted(*data),
                metadata: annals::json::RawJson::trusted(metadata.clone()),
            })
            .collect(),
        claims: vec![],
        status: Status::Done,
        answer: annals::json::RawJson::trusted("{}"),
    }
}

/// Data of an `order.created`.
pub const ORDER: &str =
    r#"{"customer_id":"c-1","items":[{"sku":"tea","quantity":2,"unit_price":4.50}],"total":9.00}"#;

impl Database {
    /// The command pipeline as one server process has it: with an appender and a cache of its own.
    pub async fn commands(&self, settings: &[(&str, &str)]) -> Commands {
        self.commands_of(registry(), settings).await
    }

    /// The same with other aggregates than the program's.
    pub async fn commands_of(&self, registry: Registry, settings: &[(&str, &str)]) -> Commands {
        self.commands_by(registry, self.reader(), settings).await
    }

    /// The same, reading the log through this reader.
    pub async fn commands_by(
        &self,
        registry: Registry,
        reader: LogReader,
        settings: &[(&str, &str)],
    ) -> Commands {
        let config = self.config(settings);
        let (appender, _) = self.appender(settings);
        Commands::new(
            std::sync::Arc::new(registry),
            reader,
            appender,
            CommandLog::new(self.pool()),
            self.identity().await,
            config.command,
        )
    }
}

/// A command of the caller `test`.
pub fn request(command: &str, stream_id: Option<Uuid>, body: serde_json::Value) -> Request {
    Request {
        command_id: None,
        command: command.into(),
        stream_id,
        body,
        sent: None,
        principal: "test".into(),
        idempotency_key: None,
        correlation_id: "correlation".into(),
        causation_id: None,
        traceparent: None,
        if_match: None,
        target: format!("{command} {stream_id:?}"),
    }
}

/// The request with an idempotency key.
pub fn keyed(request: Request, key: &str) -> Request {
    Request { idempotency_key: Some(key.into()), ..request }
}

/// Yes or no, for a command that is done.
pub trait Told {
    fn result(&self) -> Result<String, Rejection>;
}

impl Told for Answer {
    fn result(&self) -> Result<String, Rejection> {
        match &self.outcome {
            Outcome::Done(answer) => Ok(answer.as_str().to_owned()),
            Outcome::Rejected(rejection) => Err(rejection.clone()),
            other => panic!("{other:?}"),
        }
    }
}

/// The answer of a command that was accepted.
pub fn done(answer: &Answer) -> String {
    answer.result().expect("accepted")
}
