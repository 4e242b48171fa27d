//! Subscribers to events within the process: many or none, and no command feels them.

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use annals::{
    command::{Commands, subscriber},
    log::{Error, Published},
};
use serde_json::json;
use support::{Database, ORDER, Told, append, request, until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const COMMANDS: usize = 200;

async fn count(commands: &Commands, id: Uuid) {
    for _ in 0..COMMANDS {
        let increment = request("counter.increment", Some(id), json!({}));
        commands.execute(increment).await.expect("answered").result().expect("accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscriber_gets_every_event_in_order_and_a_bad_one_hurts_nobody() {
    let database = Database::new().await;
    let commands = database.commands(&[("append_subscriber_events_max", "1000")]).await;
    let shutdown = CancellationToken::new();
    let seen: Arc<Mutex<Vec<Arc<Published>>>> = Arc::default();
    let (failed, panicked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));

    let writes = seen.clone();
    tokio::spawn(subscriber::run(
        "good",
        commands.subscribe(),
        move |event| {
            writes.lock().expect("not poisoned").push(event);
            async { Ok(()) }
        },
        shutdown.clone(),
    ));
    let counts = failed.clone();
    tokio::spawn(subscriber::run(
        "failing",
        commands.subscribe(),
        move |_| {
            counts.fetch_add(1, Ordering::Relaxed);
            async { Err("it always fails".into()) }
        },
        shutdown.clone(),
    ));
    let counts = panicked.clone();
    tokio::spawn(subscriber::run(
        "panicking",
        commands.subscribe(),
        move |event| {
            counts.fetch_add(1, Ordering::Relaxed);
            assert!(event.position.0 % 50 != 0, "it panics at times");
            async { Ok(()) }
        },
        shutdown.clone(),
    ));
    // Never comes back; nobody waits for it.
    let slow = subscriber::run("slow", commands.subscribe(), |_| std::future::pending(), shutdown.clone());
    let slow = tokio::spawn(slow);

    let create = request("counter.create", None, json!({"code": "c"}));
    let id = commands.execute(create).await.expect("answered").stream.id;
    let rejected = request("counter.submit-code", Some(id), json!({"code": "wrong"}));
    commands.execute(rejected).await.expect("answered").result().expect_err("the wrong code");
    count(&commands, id).await;
    until("the good one has them all", || async { seen.lock().expect("not poisoned").len() == COMMANDS + 1 })
        .await;
    until("the bad ones go on with the next event", || async {
        [&failed, &panicked].iter().all(|count| count.load(Ordering::Relaxed) == COMMANDS + 1)
    })
    .await;
    let stored = database.events().await;
    for (event, published) in stored.iter().zip(seen.lock().expect("not poisoned").iter()) {
        assert_eq!((published.position, published.version), (event.position, event.version));
        assert_eq!((published.event.event_id, published.stream.id), (event.event_id, event.stream_id));
    }
    shutdown.cancel();
    slow.await.expect("it ends, though it never came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_learns_how_much_it_missed() {
    let database = Database::new().await;
    let commands = database.commands(&[("append_subscriber_events_max", "16")]).await;
    let mut events = commands.subscribe();
    let create = request("counter.create", None, json!({"code": "c"}));
    let id = commands.execute(create).await.expect("answered").stream.id;
    count(&commands, id).await;
    let missed = events.recv().await.expect_err("far behind");
    let lagged = tokio::sync::broadcast::error::RecvError::Lagged((COMMANDS + 1 - 16) as u64);
    assert_eq!(missed, lagged);
    assert_eq!(events.recv().await.expect("it goes on").position.0, (COMMANDS + 1 - 15) as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_together_and_overtaken_is_told_in_order() {
    let database = Database::new().await;
    let client = database.client().await;
    client.batch_execute(include_str!("support/refuse_data.sql")).await.expect("made");
    let (appender, _) = database.appender(&[("append_batch_requests_max", "10")]);
    appender.append(append("order.created", ORDER)).await.expect("appended");
    let mut told = appender.subscribe();
    // Two batches gather behind one append; the second is on its way when the first is refused.
    let mut lock = database.client().await;
    let lock = lock.transaction().await.expect("a transaction");
    lock.batch_execute(include_str!("support/append_lock.sql")).await.expect("nobody appends");
    let outcomes: Vec<_> = (0..21)
        .map(|number| {
            let data = if number == 5 { r#"{"refused":true}"# } else { ORDER };
            appender.enqueue(append("order.created", data)).expect("queued")
        })
        .collect();
    lock.commit().await.expect("all go on");
    let mut appended = 0;
    for outcome in outcomes {
        match outcome.await.expect("answered") {
            Ok(_) => appended += 1,
            Err(error) => assert!(matches!(error, Error::Refused(_)), "{error:?}"),
        }
    }
    assert_eq!(appended, 20);
    let mut positions = Vec::new();
    while positions.len() < appended {
        positions.push(told.recv().await.expect("published").position.0);
    }
    assert_eq!(positions, (2..=21).collect::<Vec<_>>());
    let events = database.events().await;
    assert!(events.len() == 21, "{}", events.len());
}
