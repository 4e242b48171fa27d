//! What the program is told from outside. The only reader of the environment and of `annals.toml`.
//!
//! Defaults < file < environment < flags, by one flat name per setting (`topic_prefix` in the file is
//! `ANNALS_TOPIC_PREFIX` in the environment). Everything is read and checked before anything starts; all faults
//! are reported at once. What an operator may have to change has its name, its default and its range here; a bound that follows from the
//! code around it is a constant there, with its reason.

mod api;
mod audit;
mod auth;
mod command;
mod kafka;
mod relay;
mod settings;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use api::{Api, Rates};
pub use audit::Audit;
pub use auth::{Auth, JwksSource, Jwt};
pub use command::{Command, CommandTopic};
pub use kafka::{KafkaSecurity, Sasl};
pub use relay::{Relay, RelayMode};
use secrecy::SecretString;
pub use settings::{Fault, Faults, Origin, Shown, Sources};
use tracing_subscriber::EnvFilter;

use crate::postgres;

/// Room for a record's key and headers; they repeat what is bounded elsewhere, and come to 1 kB or so.
const HEADERS_BYTES_MAX: usize = 64 << 10;

/// The whole configuration, valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where health and metrics are served beside, or without, the API.
    pub metrics_listen: Option<SocketAddr>,
    pub databases: Databases,
    /// `None`: no Kafka; projectors tail the log and the relay is off.
    pub kafka: Option<Kafka>,
    /// The folder of projection folders.
    pub projections_dir: PathBuf,
    pub auth: Auth,
    /// Largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    pub log: LogOutput,
    /// How long a shutdown may take before what is left is cut off.
    pub shutdown_timeout: Duration,
    pub api: Api,
    pub append: Append,
    pub command: Command,
    pub command_topic: CommandTopic,
    pub relay: Relay,
    pub projector: Projector,
    pub reads: Reads,
    pub audit: Audit,
    /// Each setting in force, for `annals config`; secrets are hidden.
    pub shown: Vec<Shown>,
    /// Variables of the environment that look like settings and are none.
    pub unknown: Vec<String>,
}

/// One URL per database role. Equal URLs are for development: then only triggers protect the log, not rights.
#[derive(Debug, Clone)]
pub struct Databases {
    /// `None`: this process does not migrate.
    pub migrator: Option<SecretString>,
    pub writer: SecretString,
    /// Reads the log for projections that tail it or refill from it.
    pub projector: SecretString,
    /// Reads the log for the API.
    pub reader: SecretString,
    /// Where read models live when that is not the log's database.
    pub read_models: Option<SecretString>,
    /// Who migrates the read models' database, when that is not `migrator`.
    pub read_models_migrator: Option<SecretString>,
    /// Connections per role and process.
    pub pool_size: usize,
    /// How long to wait for a pooled connection.
    pub pool_wait: Duration,
    /// A connection whose peer stays silent this long is dead (`tcp_user_timeout`).
    pub tcp_user_timeout: Duration,
}

impl Databases {
    /// The read models' database, as the projector.
    pub fn read_models_as_projector(&self) -> &SecretString {
        self.read_models.as_ref().unwrap_or(&self.projector)
    }

    /// The read models' database, as the reader.
    pub fn read_models_as_reader(&self) -> &SecretString {
        self.read_models.as_ref().unwrap_or(&self.reader)
    }

    /// Whether one URL serves all roles, which the start has to say.
    pub fn is_shared(&self) -> bool {
        use secrecy::ExposeSecret;
        let writer = self.writer.expose_secret();
        [&self.projector, &self.reader].iter().all(|url| url.expose_secret() == writer)
    }
}

/// Where Kafka is and how topics are named.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// Host and port of brokers, separated by commas.
    pub brokers: String,
    pub security: KafkaSecurity,
    /// Topics are `<prefix>.<stream_type>`.
    pub topic_prefix: String,
    /// Partitions of a stream type's topic, fixed at the type's first event.
    pub partitions: i32,
    /// Replicas of each partition; -1 is the broker's default.
    pub replication: i32,
    /// Largest record a topic has to take: the largest event and its headers.
    pub record_bytes_max: usize,
    /// How long one request to the broker may take.
    pub request_timeout: Duration,
}

/// What the program writes about itself.
#[derive(Debug, Clone)]
pub struct LogOutput {
    /// A `tracing` filter, such as `info,annals::relay=debug`.
    pub filter: String,
    pub json: bool,
    /// Where a collector takes spans (OTLP over HTTP); unset: nobody does.
    pub otlp_endpoint: Option<String>,
    /// Spans of one batch of relay or projection; further events of it get none.
    pub otlp_batch_spans_max: usize,
}

/// Bounds of the group commit (see `log::appender`).
#[derive(Debug, Clone)]
pub struct Append {
    /// Requests that may wait for a batch; one more is refused as overloaded.
    pub queue_requests_max: usize,
    pub batch_requests_max: usize,
    pub batch_bytes_max: usize,
    /// Largest event: its data as stored text.
    pub event_bytes_max: usize,
    /// How long a batch whose outcome is unknown is sent again before its callers are told so.
    pub resend_time_max: Duration,
    /// Events that a subscriber within the process may be behind before it misses some.
    pub subscriber_events_max: usize,
    /// Partition count given to a stream type at its first event (`topic_partitions`).
    pub partitions: i32,
}

/// Bounds of the projection workers.
#[derive(Debug, Clone)]
pub struct Projector {
    /// Events folded per transaction.
    pub batch_events_max: usize,
    pub batch_bytes_max: usize,
    /// Events of the log that one reading looks through, whatever they are.
    pub scan_events_max: i64,
    /// The slow poll beside notifications when tailing the log.
    pub poll_interval: Duration,
    /// From the beginning of a fold of several events to that of the next one, while nobody waits for the
    /// projection: a fold has a price whatever is in it.
    pub fold_interval: Duration,
    /// Upper bound of that interval, which grows to five times as long as the last fold took.
    pub fold_interval_max: Duration,
    /// Longest wait between tries after an error that may pass.
    pub backoff_max: Duration,
    /// Events that a generation may park; one more stops its projection.
    pub parked_max: i64,
    /// Kafka group session: a worker silent this long loses its partitions, and a rebuild its process.
    pub session_timeout: Duration,
    /// Whether a folder of a higher version is a rebuild by itself.
    pub rebuild_on_new_version: bool,
    /// Rebuilds that one process carries on at once; more wait for their turn.
    pub rebuilds_max: usize,
    /// Transactions that the rebuilds of one process fold in at once, all together: what they take of the database beside
    /// live traffic.
    pub rebuild_folds_max: usize,
    /// How long the generation that served before a swap is fed, so that going back is possible.
    pub keep_old: Duration,
}

/// Bounds of reads.
#[derive(Debug, Clone)]
pub struct Reads {
    /// Longest time one read-model query may take.
    pub statement_timeout: Duration,
    /// Wait for a `Consistency-Token` when the request names none.
    pub wait_default: Duration,
    pub wait_max: Duration,
    /// Bytes of rows on a page of a list; one more row ends it.
    pub page_bytes_max: usize,
    /// Rows that a named query of a read model may return.
    pub query_rows_max: usize,
    /// Requests that may wait for a projection at once; one more is refused as overloaded.
    pub waiters_max: usize,
    /// How old what is known of the relay may be: an answer's position lags behind its rows by that much at most, and
    /// the log is asked that often at most.
    pub relay_age_max: Duration,
}

impl Config {
    /// Reads the file, if any, the environment and `flags` (by setting name) and checks it all.
    pub fn load(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Result<Self, Faults> {
        Self::from_sources(Sources::read(file, flags)?)
    }

    /// Where the projection folders are, whatever else may be set or missing.
    pub fn projections_dir(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Result<PathBuf, Faults> {
        Ok(projections_dir(&mut Sources::read(file, flags)?))
    }

    /// Checks what `sources` hold; every fault is reported, not only the first.
    pub fn from_sources(mut from: Sources) -> Result<Self, Faults> {
        let security = KafkaSecurity::read(&mut from);
        let brokers: Option<String> = from.optional("kafka_brokers");
        let replication = from.ranged("kafka_replication", -1, -1..=32);
        let request_timeout = from.millis("kafka_request_timeout_ms", 5_000, 100..=60_000);
        let topic_prefix: String = from.value("topic_prefix", "annals".into());
        if !is_topic_prefix(&topic_prefix) {
            from.fault("topic_prefix", "1 to 100 of a-z, A-Z, 0-9, '.', '_' and '-'".into());
        }
        let partitions = from.ranged("topic_partitions", 8, 1..=1024);
        let append = append(&mut from, partitions);
        let config = Config {
            listen: from.value("listen", SocketAddr::from(([127, 0, 0, 1], 8080))),
            metrics_listen: from.optional("metrics_listen"),
            databases: databases(&mut from),
            kafka: brokers.map(|brokers| Kafka {
                brokers,
                security,
                topic_prefix,
                partitions,
                replication,
                record_bytes_max: record_bytes_max(append.event_bytes_max),
                request_timeout,
            }),
            projections_dir: projections_dir(&mut from),
            auth: Auth::read(&mut from),
            body_limit_bytes: from.ranged("body_limit", 1 << 20, 1_024..=64 << 20),
            cors_origins: from.list("cors_origins"),
            log: LogOutput {
                filter: from.value("log", "info,refinery_core=warn".into()),
                json: from.choice("log_format", &[("text", false), ("json", true)]),
                otlp_endpoint: from.optional("otlp_endpoint"),
                otlp_batch_spans_max: from.ranged("otlp_batch_spans_max", 256, 1..=100_000),
            },
            shutdown_timeout: from.seconds("shutdown_timeout_seconds", 30, 1..=600),
            api: Api::read(&mut from),
            append,
            command: command::command(&mut from),
            command_topic: command::topic(&mut from),
            relay: Relay::read(&mut from),
            projector: projector(&mut from),
            reads: Reads {
                statement_timeout: from.millis("read_statement_timeout_ms", 5_000, 10..=600_000),
                wait_default: from.millis("read_wait_default_ms", 2_000, 0..=30_000),
                wait_max: from.millis("read_wait_max_ms", 30_000, 0..=30_000),
                page_bytes_max: from.ranged("read_page_bytes_max", 8 << 20, 1_024..=256 << 20),
                query_rows_max: from.ranged("read_query_rows_max", 10_000, 1..=100_000),
                waiters_max: from.ranged("read_waiters_max", 1_000, 1..=1_000_000),
                relay_age_max: from.millis("read_relay_age_max_ms", 100, 1..=60_000),
            },
            audit: Audit::read(&mut from),
            shown: Vec::new(),
            unknown: Vec::new(),
        };
        if matches!(config.auth, Auth::Dev) && !config.listen.ip().is_loopback() {
            from.fault(
                "auth",
                "`dev` has fixed keys and is refused unless `listen` is a loopback address".into(),
            );
        }
        if let Err(error) = EnvFilter::try_new(&config.log.filter) {
            from.fault("log", format!("{error}: a filter is like `info,annals::relay=debug`"));
        }
        if config.log.otlp_endpoint.as_ref().is_some_and(|endpoint| !endpoint.starts_with("http://")) {
            from.fault("otlp_endpoint", "begins with http://, as http://127.0.0.1:4318 does".into());
        }
        let (shown, unknown) = from.finish()?;
        Ok(Config { shown, unknown, ..config })
    }
}

fn projections_dir(from: &mut Sources) -> PathBuf {
    PathBuf::from(from.value("projections_dir", "projections".to_owned()))
}

fn databases(from: &mut Sources) -> Databases {
    let shared = url(from, "database_url");
    let missing = || SecretString::from(String::new());
    let mut role = |name: &'static str| url(from, name).or_else(|| shared.clone());
    let migrator = role("migrator_url");
    let urls = [role("writer_url"), role("projector_url"), role("reader_url")];
    if urls.iter().any(Option::is_none) {
        from.fault(
            "database_url",
            "not set: give the Postgres URL of the log, or a URL for each of writer, projector and reader"
                .into(),
        );
    }
    let [writer, projector, reader] = urls.map(|url| url.unwrap_or_else(missing));
    let read_models = url(from, "read_models_url");
    Databases {
        migrator,
        writer,
        projector,
        reader,
        read_models_migrator: url(from, "read_models_migrator_url").or_else(|| read_models.clone()),
        read_models,
        pool_size: from.ranged("pool_size", 16, 2..=1_000),
        pool_wait: from.millis("pool_wait_ms", 5_000, 10..=60_000),
        tcp_user_timeout: from.millis("tcp_user_timeout_ms", 5_000, 100..=600_000),
    }
}

/// A database's URL, checked as far as that goes without the database.
fn url(from: &mut Sources, name: &'static str) -> Option<SecretString> {
    let url = from.secret(name)?;
    if let Err(error) = postgres::session(&url, Duration::ZERO) {
        from.fault(name, error.to_string());
    }
    Some(url)
}

fn append(from: &mut Sources, partitions: i32) -> Append {
    Append {
        queue_requests_max: from.ranged("append_queue_requests_max", 4_096, 1..=1_000_000),
        batch_requests_max: from.ranged("append_batch_requests_max", 512, 1..=10_000),
        batch_bytes_max: from.ranged("append_batch_bytes_max", 8 << 20, 1_024..=256 << 20),
        event_bytes_max: from.ranged("append_event_bytes_max", 768 << 10, 1_024..=16 << 20),
        resend_time_max: from.seconds("append_resend_time_max_seconds", 30, 1..=600),
        subscriber_events_max: from.ranged("append_subscriber_events_max", 4_096, 1..=1_000_000),
        partitions,
    }
}

/// An event's data is half as long again at most when Postgres writes it (a space after each comma and colon).
fn record_bytes_max(event_bytes_max: usize) -> usize {
    event_bytes_max / 2 * 3 + HEADERS_BYTES_MAX
}

fn projector(from: &mut Sources) -> Projector {
    Projector {
        batch_events_max: from.ranged("projector_batch_events_max", 10_000, 1..=100_000),
        batch_bytes_max: from.ranged("projector_batch_bytes_max", 16 << 20, 1_024..=256 << 20),
        scan_events_max: from.ranged("projector_scan_events_max", 100_000, 1..=10_000_000),
        poll_interval: from.millis("projector_poll_interval_ms", 500, 1..=60_000),
        fold_interval: from.millis("projector_fold_interval_ms", 10, 0..=60_000),
        fold_interval_max: from.millis("projector_fold_interval_max_ms", 30, 0..=60_000),
        backoff_max: from.millis("projector_backoff_max_ms", 5_000, 10..=60_000),
        parked_max: from.ranged("projector_parked_max", 1_000, 1..=100_000),
        session_timeout: from.millis("projector_session_timeout_ms", 10_000, 6_000..=300_000),
        rebuild_on_new_version: from
            .choice("projector_rebuild_on_new_version", &[("true", true), ("false", false)]),
        rebuilds_max: from.ranged("projector_rebuilds_max", 16, 1..=100),
        rebuild_folds_max: from.ranged("projector_rebuild_folds_max", 4, 1..=100),
        keep_old: from.seconds("projector_keep_old_seconds", 24 * 3_600, 0..=365 * 24 * 3_600),
    }
}

fn is_topic_prefix(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
