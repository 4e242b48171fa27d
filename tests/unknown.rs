//! Connections that break while a batch is in flight: its outcome is unknown until the database has said it.

mod support;

use std::{collections::HashSet, ops::Range, sync::Arc};

use annals::log::{Appender, Error, Expected, Outcome, Position, Version};
use futures_util::future::join_all;
use support::{
    Database, ORDER, append, append_to,
    proxy::{Cutting, Proxy, address, through},
    until,
};
use tokio::sync::watch;
use uuid::Uuid;

const CLIENTS: usize = 32;
const APPENDS_PER_CLIENT: usize = 100;
/// Milliseconds between two cuts: mostly long enough for new sessions.
const PAUSES: Range<u64> = 20..140;

#[tokio::test(flavor = "multi_thread")]
async fn every_append_gets_its_true_outcome_over_broken_connections() {
    let database = Database::new().await;
    let proxy = Arc::new(Proxy::to(address(&database.url)).await);
    let url = through(&database.url, &proxy);
    let (appender, _) = database.appender(&[("database_url", &url)]);
    let cutting = Cutting::start(proxy, PAUSES);
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
    let cutting = Cutting::start(proxy, PAUSES);
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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gets_no_answer_is_not_told_that_nothing_was_done() {
    let database = Database::new().await;
    let config = database.config(&[]);
    let (told, _) = watch::channel(Position(0));
    let (appender, task) =
        Appender::new(config.databases.writer, config.databases.tcp_user_timeout, config.append, told);
    let task = tokio::spawn(task.run());
    let answered = appender.append(append("order.created", ORDER)).await.expect("appended");
    assert!(matches!(answered, Outcome::Appended { .. }));
    // As where it panics between sending and answering.
    let mut lock = database.client().await;
    let lock = lock.transaction().await.expect("a transaction");
    lock.batch_execute(include_str!("support/append_lock.sql")).await.expect("nobody appends");
    let late = append("order.created", ORDER);
    let outcome = appender.enqueue(late.clone()).expect("queued");
    let watcher = database.client().await;
    until("it is on its way", || async {
        watcher.query_one(include_str!("support/append_awaited.sql"), &[]).await.expect("locks").get(0)
    })
    .await;
    task.abort();
    let error = Error::from(outcome.await.expect_err("nobody answers"));
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
    lock.commit().await.expect("others append");
    until("it was done", || async { database.events().await.len() == 2 }).await;
    let refused = appender.append(late).await.expect_err("the appender is gone");
    assert!(matches!(refused, Error::Closed), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_effect_before_its_connection_broke_is_told_of_too() {
    let database = Database::new().await;
    let proxy = Proxy::to(address(&database.url)).await;
    let url = through(&database.url, &proxy);
    let (appender, mut head) = database.appender(&[("database_url", &url)]);
    appender.append(append("order.created", ORDER)).await.expect("appended");
    let mut lock = database.client().await;
    let lock = lock.transaction().await.expect("a transaction");
    lock.batch_execute(include_str!("support/append_lock.sql")).await.expect("nobody appends");
    let outcome = appender.enqueue(append("order.created", ORDER)).expect("queued");
    let watcher = database.client().await;
    until("it is on its way", || async {
        watcher.query_one(include_str!("support/append_awaited.sql"), &[]).await.expect("locks").get(0)
    })
    .await;
    // Its server process waits on, and appends.
    proxy.cut();
    lock.commit().await.expect("others append");
    let outcome = outcome.await.expect("answered").expect("resolved within its time");
    assert!(matches!(outcome, Outcome::Duplicate(_)), "{outcome:?}");
    let told = tokio::time::timeout(support::DEADLINE, head.wait_for(|head| *head == Position(2)));
    told.await.expect("told").expect("the appender lives");
}
