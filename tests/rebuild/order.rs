//! A rebuild of a model that needs the order of the whole log, beside live events.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use annals::rebuild::{self, Options, State};
use uuid::Uuid;

use crate::{
    sequence::sequence,
    stage::{Counters, Stage, shipped},
    support::{ORDER, append},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_keeps_the_order_of_the_log_beside_live_events() {
    let stage = Arc::new(Stage::new().await);
    let process = stage.process(&[&sequence(1, &["order.created"], "global")], &[]).await;
    let write = async |stage: &Stage, counters: &mut Counters| {
        stage.append(append("order.created", ORDER)).await;
        stage.count(counters, 1).await;
    };
    let mut counters = Counters::new(5);
    for _ in 0..50 {
        write(&stage, &mut counters).await;
    }
    stage.folded("sequence").await;
    let ends = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (stage, ends) = (stage.clone(), ends.clone());
        async move {
            while !ends.load(Ordering::Relaxed) {
                write(&stage, &mut counters).await;
            }
        }
    });
    let newer = sequence(2, &["order.created", "counter.created", "counter.incremented"], "global");
    let pool = stage.database.pool();
    let begun = rebuild::start(
        &pool,
        Uuid::now_v7(),
        "sequence",
        Some((&newer, &crate::support::registry())),
        Options::default(),
    )
    .await;
    stage.reaches(begun.expect("it begins").id, State::Done).await;
    ends.store(true, Ordering::Relaxed);
    writing.await.expect("written");
    stage.folded("sequence").await;
    let (events, misplaced) = stage.numbered().await;
    assert!(events > 100);
    assert_eq!(misplaced, 0, "of {events} are not where the log has them");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_the_order_of_the_log_cannot_get_it_by_a_rebuild() {
    let stage = Stage::new().await;
    let process =
        stage.process(&[&shipped("counters"), &sequence(1, &["order.created"], "stream")], &[]).await;
    stage.append(append("order.created", ORDER)).await;
    stage.folded("sequence").await;
    let (pool, newer) = (stage.database.pool(), sequence(2, &["order.created"], "global"));
    let begun = rebuild::start(
        &pool,
        Uuid::now_v7(),
        "sequence",
        Some((&newer, &crate::support::registry())),
        Options::default(),
    )
    .await;
    let failed = stage.reaches(begun.expect("it begins").id, State::Failed).await;
    assert!(failed.error.is_some_and(|error| error.contains("under another name")));
    process.stop().await;
}
