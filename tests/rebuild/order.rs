//! A rebuild of a model that needs the order of the whole log, beside live events.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use annals::{
    projector::Folder,
    rebuild::{self, Options, State},
};
use uuid::Uuid;

use crate::{
    stage::{Counters, Stage, shipped},
    support::{ORDER, append},
};

/// Numbers events as they are folded. A newer version has the events of one stream type more.
fn sequence(version: i32, events: &[&str], order: &str) -> Folder {
    let names = events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>().join(", ");
    let definition = format!(
        "name = \"sequence\"\nversion = {version}\nevents = [{names}]\nkey = [\"position\"]\norder = \"{order}\"\n\
         rows = \"shared\"\n"
    );
    let table = "create table sequence (position bigint primary key, number bigint not null)";
    let statement = "insert into sequence select e.position, (select count(*) from sequence) + row_number() over (order by \
                     e.position) from events e";
    let files = [("projection.toml".to_owned(), definition), ("table.sql".to_owned(), table.to_owned())];
    let statements = events.iter().map(|event| (format!("on/{event}.sql"), statement.to_owned()));
    Folder::parse(BTreeMap::from_iter(files.into_iter().chain(statements))).expect("it loads")
}

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
    let client = stage.database.client().await;
    let misplaced = client.query_one(include_str!("order.sql"), &[]).await.expect("a table");
    let (events, misplaced): (i64, i64) = (misplaced.get(0), misplaced.get(1));
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
