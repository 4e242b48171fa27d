//! Connections that break while a batch is in flight: its outcome is unknown until the database has said it.

mod support;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use annals::log::{Expected, Outcome, Version};
use futures_util::future::join_all;
use support::{
    Database, ORDER, append, append_to,
    proxy::{Proxy, address, through},
};
use uuid::Uuid;

const CLIENTS: usize = 32;
const APPENDS_PER_CLIENT: usize = 100;

/// Cuts the connections again and again until dropped.
struct Cutting {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Cutting {
    fn start(proxy: Arc<Proxy>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let done = Arc::new(AtomicUsize::new(0));
        let cuts = done.clone();
        tokio::spawn(async move {
            for n in 0_u64.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // Uneven, so that cuts meet every phase of a batch; and mostly long enough for new sessions.
                tokio::time::sleep(Duration::from_millis(20 + n * 17 % 120)).await;
                proxy.cut();
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, done }
    }

    /// How often it has cut them.
    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_append_gets_its_true_outcome_over_broken_connections() {
    let database = Database::new().await;
    let proxy = Arc::new(Proxy::to(address(&database.url)).await);
    let url = through(&database.url, &proxy);
    let (appender, _) = database.appender(&[("database_url", &url)]);
    let cutting = Cutting::start(proxy);
    let clients = (0..CLIENTS).map(|_| {
        let appender = appender.clone();
        async move {
            let mut acknowledged = Vec::new();
            for _ in 0..APPENDS_PER_CLIENT {
                let append = append("order.created", ORDER);
                let stream = append.stream.id;
                let positions = match appender.append(append.clone()).await.expect("resolved within its time")
                {
                    Outcome::Appended { positions, .. } => positions,
                    Outcome::Duplicate(record) => {
                        assert_eq!(record.command_id, append.command_id, "only its own first try");
                        record.positions
                    }
                    other => panic!("{other:?}"),
                };
                acknowledged.push((stream, positions.expect("an event").0));
            }
            acknowledged
        }
    });
    let acknowledged: Vec<_> = join_all(clients).await.into_iter().flatten().collect();
    assert!(cutting.done() > 2, "connections were cut");
    drop(cutting);
    let events = database.events().await;
    assert_eq!(events.len(), CLIENTS * APPENDS_PER_CLIENT, "each took effect once");
    assert!(events.iter().map(|event| event.position.0).eq(1..=events.len() as i64));
    let stored: HashSet<_> = events.iter().map(|event| (event.stream_id, event.position)).collect();
    assert!(acknowledged.iter().all(|acknowledged| stored.contains(acknowledged)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_survives_broken_connections() {
    let database = Database::new().await;
    let proxy = Arc::new(Proxy::to(address(&database.url)).await);
    let url = through(&database.url, &proxy);
    let (appender, _) = database.appender(&[("database_url", &url)]);
    let stream = Uuid::now_v7();
    appender
        .append(append_to(stream, Expected::NoStream, &[("order.created", ORDER)]))
        .await
        .expect("created");
    let cutting = Cutting::start(proxy);
    for round in 0..20 {
        let links: Vec<_> = (0..10)
            .map(|link| {
                let expected = Expected::Exactly(Version(1 + round * 10 + link));
                appender.enqueue(append_to(stream, expected, &[("order.confirmed", "{}")])).expect("queued")
            })
            .collect();
        for outcome in join_all(links).await {
            let outcome = outcome.expect("answered").expect("an outcome");
            assert!(matches!(outcome, Outcome::Appended { .. } | Outcome::Duplicate(_)), "{outcome:?}");
        }
    }
    drop(cutting);
    assert!(database.events().await.iter().map(|event| event.version.0).eq(1..=201));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_nothing_is_left_for_one_that_does() {
    let database = Database::new().await;
    let proxy = Proxy::to(address(&database.url)).await;
    let url = through(&database.url, &proxy);
    let (appender, _) = database.appender(&[("database_url", &url), ("append_resend_time_max_seconds", "1")]);
    appender.append(append("order.created", ORDER)).await.expect("appended");
    proxy.freeze();
    let appends = (0..CLIENTS).map(|_| appender.append(append("order.created", ORDER)));
    for outcome in tokio::time::timeout(support::DEADLINE, join_all(appends)).await.expect("answered") {
        outcome.expect("appended");
    }
    assert_eq!(database.events().await.len(), 1 + CLIENTS, "each took effect once");
}
