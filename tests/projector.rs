//! Projections on a real Postgres and a real Kafka.

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use annals::{
    log::{Expected, Position},
    postgres,
    projector::{self, Deps, Folder, Progress, Status},
};
use support::{Database, append_to, until};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn folder(name: &str) -> Folder {
    Folder::load(&Path::new("projections").join(name)).expect("a shipped folder loads")
}

/// A process with projectors.
struct Process {
    progress: Progress,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    _head: watch::Sender<Position>,
}

impl Process {
    async fn start(database: &Database, folders: Vec<Folder>, settings: &[(&str, &str)]) -> Self {
        let fast = [
            ("projector_poll_interval_ms", "20"),
            ("projector_backoff_max_ms", "50"),
        ];
        let settings: Vec<_> = fast.into_iter().chain(settings.iter().copied()).collect();
        let config = database.config(&settings);
        let (head, receiver) = watch::channel(Position::default());
        let progress = Progress::new(folders.iter().map(|folder| folder.name.as_str()));
        let deps = Deps {
            reader: database.reader(),
            read: postgres::pool(&config.databases.projector, &config.databases).expect("a pool"),
            registry: Arc::new(support::registry()),
            log_id: database.identity().await.log_id,
            head: receiver,
            progress: progress.clone(),
        };
        let shutdown = CancellationToken::new();
        let running = projector::run(deps, folders, config.kafka, config.projector, shutdown.clone());
        Self {
            progress,
            shutdown,
            task: tokio::spawn(running),
            _head: head,
        }
    }

    fn status(&self, projection: &str) -> Status {
        self.progress.statuses()[projection].clone()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("no worker panics");
    }
}

/// The rows of a projection's table by key, as JSON.
async fn rows(database: &Database, projection: &str) -> BTreeMap<Uuid, serde_json::Value> {
    let client = database.client().await;
    let sql = format!("select id, to_jsonb(r) from projection_{projection}_1.{projection} r");
    let rows = client.query(&sql, &[]).await.unwrap_or_default();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The least checkpoint of a projection.
async fn checkpoint(database: &Database, projection: &str) -> i64 {
    let client = database.client().await;
    let sql = "select min(position) from projections.checkpoints where projection = $1";
    client
        .query_one(sql, &[&projection])
        .await
        .expect("a row")
        .get::<_, Option<i64>>(0)
        .unwrap_or(0)
}

#[tokio::test]
async fn folds_the_log_with_several_events_of_a_stream_in_one_batch() {
    let database = Database::new().await;
    let (appender, _) = database.appender(&[]);
    let (paid, refunded, open) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let created = ("order.created", support::ORDER);
    let confirmed = ("order.confirmed", "{}");
    let pay = ("order.paid", r#"{"amount":9.00,"reference":"r"}"#);
    for append in [
        append_to(paid, Expected::NoStream, &[created, confirmed, pay]),
        append_to(open, Expected::NoStream, &[created]),
        append_to(
            refunded,
            Expected::NoStream,
            &[
                created,
                confirmed,
                pay,
                (
                    "order.refunded",
                    r#"{"amount":4.00,"reason":"late","in_full":false}"#,
                ),
                (
                    "order.refunded",
                    r#"{"amount":5.00,"reason":"late","in_full":true}"#,
                ),
            ],
        ),
    ] {
        appender.append(append).await.expect("appended");
    }
    let process = Process::start(&database, vec![folder("orders")], &[]).await;
    until("all is folded", async || {
        checkpoint(&database, "orders").await >= 9
    })
    .await;
    let rows = rows(&database, "orders").await;
    let seen = |id: &Uuid| {
        let row = &rows[id];
        (
            row["status"].to_string(),
            row["paid"].to_string(),
            row["refunded"].to_string(),
            row["version"].to_string(),
        )
    };
    let shape = |status: &str, paid: &str, refunded: &str, version: &str| {
        (
            format!("\"{status}\""),
            paid.to_owned(),
            refunded.to_owned(),
            version.to_owned(),
        )
    };
    assert_eq!(seen(&paid), shape("paid", "9.00", "0.00", "3"));
    assert_eq!(seen(&open), shape("created", "0.00", "0.00", "1"));
    assert_eq!(seen(&refunded), shape("refunded", "9.00", "9.00", "5"));
    assert_eq!(process.status("orders"), Status::Running);
    process.stop().await;
}
