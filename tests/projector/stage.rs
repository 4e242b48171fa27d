//! A log, topics of its own, and processes with projectors.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use annals::{
    aggregate::Registry,
    log::{Append, Appender, Expected, LogReader, Position},
    postgres,
    projector::{self, Deps, Folder, Progress, Status},
    rebuild, relay,
    trace::Spans,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::support::{self, Database, append_to, group, until};

const FORGET: &str = include_str!("forget.sql");
const LIVE: &str = include_str!("live.sql");
const CHECKPOINT: &str = include_str!("checkpoint.sql");

pub(crate) struct Stage {
    pub(crate) database: Database,
    pub(crate) prefix: String,
    pub(crate) brokers: String,
    /// What the processes know of events.
    pub(crate) registry: fn() -> Registry,
    appender: Appender,
    /// What the processes are told of the log's head.
    pub(crate) head: watch::Receiver<Position>,
}

/// A process with projectors. Dropped, it ends like one that was killed.
pub(crate) struct Process {
    progress: Progress,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Process {
    pub(crate) fn status(&self, projection: &str) -> Status {
        self.progress.statuses()[projection].clone()
    }

    /// Waits until a projection does not go on, and gives what it says.
    pub(crate) async fn stands_still(&self, projection: &str) -> String {
        let reason = || match self.status(projection) {
            Status::Refused { reason } | Status::Stopped { reason } | Status::Waiting { reason, .. } => {
                Some(reason)
            }
            _ => None,
        };
        until("the projection stands still", async || reason().is_some()).await;
        reason().expect("it still does")
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("no worker panics");
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::over(support::kafka_brokers()).await
    }

    /// With a Kafka of its own.
    pub(crate) async fn over(brokers: String) -> Self {
        let database = Database::new().await;
        let (appender, head) = database.appender(&[("topic_partitions", "4")]);
        let (prefix, registry) = (support::topic_prefix(), support::registry);
        Self { database, prefix, brokers, registry, appender, head }
    }

    /// Projectors that tail the log.
    pub(crate) async fn process(&self, folders: &[&Folder], settings: &[(&str, &str)]) -> Process {
        let fast = [("projector_poll_interval_ms", "50"), ("projector_backoff_max_ms", "100")];
        let settings: Vec<_> = fast.into_iter().chain(settings.iter().copied()).collect();
        let config = self.database.config(&settings);
        let progress = Progress::new(folders.iter().map(|folder| folder.name.as_str()));
        let (url, patience) = (&config.databases.projector, config.projector.session_timeout);
        let pool = || postgres::watched_pool(url, &config.databases, patience).expect("a pool");
        let deps = Deps {
            reader: LogReader::new(pool()),
            read: pool(),
            registry: Arc::new((self.registry)()),
            log_id: self.database.identity().await.log_id,
            head: self.head.clone(),
            progress: progress.clone(),
            spans: Spans::default(),
        };
        let shutdown = CancellationToken::new();
        let folders: Vec<Folder> = folders.iter().copied().cloned().collect();
        let rebuilding =
            rebuild::run(deps.clone(), folders.clone(), config.projector.clone(), shutdown.clone());
        let folding = projector::run(deps, folders, config.kafka, config.projector, shutdown.clone());
        let running = async {
            tokio::join!(rebuilding, folding);
        };
        Process { progress, shutdown, task: tokio::spawn(running) }
    }

    /// Projectors that read Kafka.
    pub(crate) async fn kafka_process(&self, folders: &[&Folder], settings: &[(&str, &str)]) -> Process {
        let kafka = [
            ("kafka_brokers", self.brokers.as_str()),
            ("topic_prefix", &self.prefix),
            ("projector_session_timeout_ms", "6000"),
        ];
        let settings: Vec<_> = kafka.into_iter().chain(settings.iter().copied()).collect();
        self.process(folders, &settings).await
    }

    /// A relay, until the guard is dropped.
    pub(crate) async fn relay(&self) -> DropGuard {
        self.relay_with(&[]).await
    }

    pub(crate) async fn relay_with(&self, settings: &[(&str, &str)]) -> DropGuard {
        let own = [
            ("kafka_brokers", self.brokers.as_str()),
            ("topic_prefix", &self.prefix),
            ("topic_partitions", "4"),
            ("relay_batch_events_max", "50"),
        ];
        let settings: Vec<_> = own.into_iter().chain(settings.iter().copied()).collect();
        let config = self.database.config(&settings);
        let deps = relay::Deps {
            reader: self.database.reader(),
            writer: self.database.pool(),
            identity: self.database.identity().await,
            head: self.head.clone(),
            status: watch::Sender::new(relay::Status::default()),
            sent: relay::Sent::default(),
            spans: Spans::default(),
        };
        let shutdown = CancellationToken::new();
        let kafka = config.kafka.expect("Kafka is set");
        tokio::spawn(relay::run(deps, kafka, config.relay, shutdown.clone()));
        shutdown.drop_guard()
    }

    pub(crate) async fn append(&self, append: Append) {
        self.appender.append(append).await.expect("appended");
    }

    /// Appends `appends` appends to counters, a few events each.
    pub(crate) async fn count(&self, counters: &mut Counters, appends: usize) {
        for _ in 0..appends {
            self.append(counters.next()).await;
        }
    }

    /// Waits until a projection has folded everything in the log.
    pub(crate) async fn folded(&self, projection: &str) {
        let client = self.database.client().await;
        until(&format!("{projection} has folded the log"), async || {
            client.query_one(CHECKPOINT, &[&projection]).await.expect("a row").get(0)
        })
        .await;
    }

    /// Waits until the group of a projection over Kafka has so many workers, each with partitions of its own.
    pub(crate) async fn is_shared_by(&self, projection: &str, workers: usize) {
        group::is_shared_by(&self.database, &self.brokers, &self.prefix, projection, workers).await;
    }

    /// The schema of the generation that serves.
    pub(crate) async fn schema(&self, projection: &str) -> String {
        let client = self.database.client().await;
        client.query_one(LIVE, &[&projection]).await.expect("a generation").get(0)
    }

    /// The rows of a projection's main table by id, as JSON, as they are served.
    pub(crate) async fn rows(&self, projection: &str) -> BTreeMap<Uuid, serde_json::Value> {
        let client = self.database.client().await;
        let sql = format!("select id, to_jsonb(r) from {}.{projection} r", self.schema(projection).await);
        let rows = client.query(&sql, &[]).await.expect("readable");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The counters' rows are what their history says.
    pub(crate) async fn assert_counted(&self, counters: &Counters) {
        self.folded("counters").await;
        let number = |row: &serde_json::Value, column: &str| row[column].as_i64().expect("a number");
        let rows = self.rows("counters").await;
        let rows: BTreeMap<_, _> =
            rows.iter().map(|(id, row)| (*id, (number(row, "counter"), number(row, "version")))).collect();
        assert_eq!(rows, counters.expected);
    }

    /// Takes a projection away, as if there had never been one.
    pub(crate) async fn forget(&self, projection: &str) {
        let client = self.database.client().await;
        client.batch_execute(&FORGET.replace("{{projection}}", projection)).await.expect("forgotten");
    }
}

/// A random history of counters, and what it comes to: value and version by counter.
pub(crate) struct Counters {
    ids: Vec<Uuid>,
    seed: u64,
    pub(crate) expected: BTreeMap<Uuid, (i64, i64)>,
}

impl Counters {
    pub(crate) fn new(count: usize) -> Self {
        Self { ids: (0..count).map(|_| Uuid::now_v7()).collect(), seed: 0x5eed, expected: BTreeMap::new() }
    }

    /// xorshift64: the same history in every run.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn next(&mut self) -> Append {
        let index = self.random(self.ids.len() as u64) as usize;
        let id = self.ids[index];
        let mut state = self.expected.get(&id).copied();
        let mut events = Vec::new();
        for _ in 0..=self.random(3) {
            let by = self.random(9) as i64 + 1;
            let reset = self.random(6) == 0;
            let (event, data) = match &mut state {
                None => {
                    state = Some((0, 0));
                    ("counter.created", r#"{"code_hash":"x"}"#.to_owned())
                }
                Some((value, _)) if reset => {
                    *value = 0;
                    ("counter.reset", "{}".to_owned())
                }
                Some((value, _)) => {
                    *value += by;
                    ("counter.incremented", format!(r#"{{"by":{by}}}"#))
                }
            };
            events.push((event, data));
        }
        let (value, version) = state.expect("an append has an event");
        self.expected.insert(id, (value, version + events.len() as i64));
        let events: Vec<_> = events.iter().map(|(event, data)| (*event, data.as_str())).collect();
        append_to(id, Expected::Any, &events)
    }
}

/// A folder that ships.
pub(crate) fn shipped(name: &str) -> Folder {
    Folder::load(&shipped_path(name)).expect("a shipped folder loads")
}

pub(crate) fn shipped_path(name: &str) -> PathBuf {
    Path::new("projections").join(name)
}
