//! A Postgres that crashes while commits do not wait for the disk: what somebody was told stays.

mod support;

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals::log::{CommandLog, LogReader, Outcome, Position, Version};
use futures_util::future::join_all;
use support::{Database, ORDER, append, connect, stack::Stack, until};
use tokio::{task::spawn_blocking, time::sleep};
use uuid::Uuid;

/// Enough that batches follow each other without a rest.
const CLIENTS: usize = 32;
const CRASHES: usize = 8;
/// Events that are told of between two crashes.
const BETWEEN: usize = 400;

/// Events by their positions, as somebody was told of them.
type Told = Arc<Mutex<BTreeMap<Position, Uuid>>>;

fn note(told: &Told, position: Position, event_id: Uuid) {
    let before = told.lock().expect("nobody panicked").insert(position, event_id);
    assert!(before.is_none_or(|before| before == event_id), "two events were told of at {position}");
}

fn count(told: &Told) -> usize {
    told.lock().expect("nobody panicked").len()
}

/// Has nobody write to the disk who does not have to.
async fn stay_off_the_disk(database: &Database) {
    let client = database.client().await;
    for statement in ["alter system set wal_writer_delay = '10s'", "select pg_reload_conf()"] {
        client.batch_execute(statement).await.expect("a superuser may");
    }
}

/// A URL whose sessions' commits do not wait for the disk.
fn with_lazy_commits(database: &Database) -> String {
    format!("{}?options=-c%20synchronous_commit%3Doff&application_name=annals", database.url)
}

/// Kills a process of the server's, upon which it drops all others, and recovers from its disk.
async fn crash(database: &Database) {
    let client = database.client().await;
    let backends = client.query(include_str!("crash/backends.sql"), &[]).await.expect("the activity");
    let victim: i32 = backends.first().expect("somebody works there").get(0);
    let killed = Command::new("kill").args(["-9", &victim.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    until("the server drops all", || async { client.is_closed() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_was_told_survives_a_crash() {
    let stack = spawn_blocking(|| Stack::of(Some("postgres"), &[])).await.expect("it starts");
    let database = Arc::new(Database::at(stack.database_url.clone()).await);
    let (acknowledged, read, ends) = (Told::default(), Told::default(), Arc::new(AtomicBool::new(false)));

    let (appender, appended) = database.appender(&[]);
    let clients = (0..CLIENTS).map(|_| {
        let (appender, acknowledged, ends) = (appender.clone(), acknowledged.clone(), ends.clone());
        async move {
            while !ends.load(Ordering::Relaxed) {
                let append = append("order.created", ORDER);
                let event_id = append.events[0].event_id;
                let positions = match appender.append(append).await.expect("resolved within its time") {
                    Outcome::Appended { positions, .. } => positions,
                    Outcome::Duplicate(record) => record.positions,
                    other => panic!("{other:?}"),
                };
                note(&acknowledged, positions.expect("an event").0, event_id);
            }
        }
    });
    let clients = tokio::spawn(join_all(clients));
    // One that is told what was appended, and one that has to ask.
    let readers =
        [LogReader::beside(database.pool(), appended), LogReader::new(database.pool())].map(|reader| {
            let (read, ends) = (read.clone(), ends.clone());
            tokio::spawn(async move {
                let mut at = Position(0);
                while !ends.load(Ordering::Relaxed) {
                    // The server is away for a moment.
                    let Ok(events) = reader.after(at, None, 100, usize::MAX).await else {
                        sleep(Duration::from_millis(5)).await;
                        continue;
                    };
                    for event in events {
                        assert_eq!(event.position.0, at.0 + 1, "without gaps");
                        at = event.position;
                        note(&read, event.position, event.event_id);
                    }
                }
            })
        });

    for _ in 0..CRASHES {
        let before = (count(&acknowledged), count(&read));
        until("clients and readers go on", || async {
            count(&acknowledged) > before.0 + BETWEEN && count(&read) > before.1 + BETWEEN
        })
        .await;
        crash(&database).await;
    }
    let before = count(&acknowledged);
    until("clients go on", || async { count(&acknowledged) > before }).await;
    ends.store(true, Ordering::Relaxed);
    clients.await.expect("no client was told of two");
    for reader in readers {
        reader.await.expect("no reader was told of two");
    }

    until("the server is back", || async { database.reader().head().await.is_ok() }).await;
    let events = database.events().await;
    assert!(events.iter().map(|event| event.position.0).eq(1..=events.len() as i64));
    let stored: BTreeMap<_, _> = events.iter().map(|event| (event.position, event.event_id)).collect();
    for (who, told) in [("acknowledged", &acknowledged), ("read", &read)] {
        for (position, event_id) in told.lock().expect("nobody panicked").iter() {
            assert_eq!(stored.get(position), Some(event_id), "{position} was {who}");
        }
    }
    assert_eq!(count(&acknowledged), events.len(), "each took effect once");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_of_an_event_is_told_of_one_on_the_disk() {
    let stack = spawn_blocking(|| Stack::of(Some("postgres"), &[])).await.expect("it starts");
    let database = Database::at(stack.database_url.clone()).await;
    stay_off_the_disk(&database).await;
    for asked in ["head", "after", "stream", "at", "find"] {
        let lazy = connect(&with_lazy_commits(&database)).await;
        let append = append("order.created", ORDER);
        let (stream, event) = (append.stream.id, append.events[0].event_id);
        lazy.execute(include_str!("crash/append.sql"), &[&append.command_id, &stream, &event])
            .await
            .expect("appended");
        let reader = database.reader();
        let last = database.client().await.query_one(include_str!("../src/log/head.sql"), &[]).await;
        let position = Position(last.expect("the log answers").get(0));
        match asked {
            "head" => assert_eq!(reader.head().await.expect("a head"), position),
            "after" => {
                let events = reader.after(Position(position.0 - 1), None, 10, usize::MAX).await;
                assert_eq!(events.expect("read").len(), 1);
            }
            "stream" => {
                let events = reader.stream(&append.stream, Version(0), 10).await;
                assert_eq!(events.expect("read").events.len(), 1);
            }
            "at" => assert!(reader.at(position).await.expect("read").is_some()),
            _ => {
                let found = CommandLog::new(database.pool()).find(append.command_id).await;
                assert!(found.expect("read").is_some());
            }
        }
        crash(&database).await;
        let reader = database.reader();
        until("the server is back", || async { reader.head().await.is_ok() }).await;
        let stored = reader.at(position).await.expect("read");
        assert_eq!(stored.map(|event| event.event_id), Some(event), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_wait_for_the_disk_where_the_database_url_says_that_they_need_not() {
    let stack = spawn_blocking(|| Stack::of(Some("postgres"), &[])).await.expect("it starts");
    let database = Database::at(stack.database_url.clone()).await;
    stay_off_the_disk(&database).await;
    let (appender, _) = database.appender(&[("database_url", &with_lazy_commits(&database))]);
    let append = append("order.created", ORDER);
    appender.append(append.clone()).await.expect("appended");
    crash(&database).await;
    let reader = database.reader();
    until("the server is back", || async { reader.head().await.is_ok() }).await;
    let stored = reader.at(Position(1)).await.expect("read");
    assert_eq!(stored.map(|event| event.event_id), Some(append.events[0].event_id));
}
