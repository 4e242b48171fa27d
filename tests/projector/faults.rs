//! Faults that are no event's: what may pass is waited for, what cannot pass is said. Neither parks anything.

use std::{collections::BTreeMap, sync::Arc};

use annals::{
    log::{Expected, Position},
    projector::{Folder, Status},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    stage::{Counters, Stage, shipped},
    support::{
        append_to,
        names::NAMES,
        process::Process,
        proxy::{Cutting, Proxy, address, through},
        until,
    },
};

const DISK_IS_FULL: &str = include_str!("disk_is_full.sql");
const DISK_HAS_ROOM: &str = include_str!("disk_has_room.sql");

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let stage = Stage::new().await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;

    let client = stage.database.client().await;
    client.batch_execute(DISK_IS_FULL).await.expect("full");
    stage.count(&mut counters, 20).await;
    let reason = process.stands_still("counters").await;
    assert!(reason.contains("No space left on device (SQLSTATE 53100)"), "{reason}");
    assert!(matches!(process.status("counters"), Status::Waiting { .. }));
    client.batch_execute(DISK_HAS_ROOM).await.expect("room");
    stage.assert_counted(&counters).await;
    until("it follows again", async || process.status("counters") == Status::Running).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_column_stops_and_is_named() {
    let stage = Stage::new().await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;

    let client = stage.database.client().await;
    let column = "alter table projection_counters_1.counters";
    client.batch_execute(&format!("{column} rename column counter to mislaid")).await.expect("renamed");
    stage.count(&mut counters, 20).await;
    let reason = process.stands_still("counters").await;
    // Postgres names it one way in an insert and another in an update.
    let named = ["counter does not exist", "column \"counter\" of relation \"counters\" does not exist"];
    let is_named = named.iter().any(|named| reason.contains(named));
    assert!(reason.contains("on/counter.") && is_named, "{reason}");
    assert!(matches!(process.status("counters"), Status::Stopped { .. }));
    client.batch_execute(&format!("{column} rename column mislaid to counter")).await.expect("renamed");
    annals::projector::set_paused(&stage.database.pool(), "counters", false).await.expect("resumed");
    stage.assert_counted(&counters).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_program_can_fold_is_found_alone() {
    let stage = Stage::new().await;
    let mut files: BTreeMap<_, _> = NAMES.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let asked =
        "insert into names select e.stream_id, to_tsquery('simple', e.data ->> 'name')::text from events e";
    files.insert("on/project.created.sql".into(), asked.into());
    for name in ["tea", "cake", "tea &", "pie"] {
        let data = format!(r#"{{"name":"{name}"}}"#);
        stage.append(append_to(Uuid::now_v7(), Expected::NoStream, &[("project.created", &data)])).await;
    }
    // Its SQLSTATE says that the statement is wrong, not the data, so it stops what could park streams.
    let process = stage.process(&[&Folder::parse(files).expect("it loads")], &[]).await;
    let reason = process.stands_still("names").await;
    assert!(reason.contains("on/project.created.sql failed at position 3"), "{reason}");
    assert_eq!(stage.rows("names").await.len(), 2, "what comes before it is folded");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_only_a_rumour_moves_no_checkpoint() {
    let mut stage = Stage::new().await;
    let (rumour, heard) = watch::channel(Position(0));
    stage.head = heard;
    let _process = stage.process(&[&shipped("counters")], &[]).await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    rumour.send(Position(1_000_000)).expect("heard");
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_in_the_middle_of_a_fold_keeps_nothing_from_others() {
    let stage = Stage::new().await;
    let settings = [("projector_poll_interval_ms", "50"), ("projector_session_timeout_ms", "6000")];
    let stopped = Process::worker(&stage.database, &settings);
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 20).await;
    stage.folded("counters").await;

    let (mut holder, client) = (stage.database.client().await, stage.database.client().await);
    let held = holder.transaction().await.expect("a transaction");
    let lock = "lock table projection_counters_1.counters in share mode";
    held.batch_execute(lock).await.expect("held");
    stage.count(&mut counters, 20).await;
    until("a fold waits for the table", async || {
        client.query_one(include_str!("waits.sql"), &[]).await.expect("a row").get(0)
    })
    .await;
    // It holds the checkpoints, and never hears that its rows are changed.
    stopped.signal("STOP");
    held.rollback().await.expect("given back");
    let other = Process::worker(&stage.database, &settings);
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;

    stopped.signal("CONT");
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    other.kill();
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_over_broken_connections_fold_each_event_once() {
    for over_kafka in [false, true] {
        let stage = Stage::new().await;
        let _relay = stage.relay().await;
        let proxy = Arc::new(Proxy::to(address(&stage.database.url)).await);
        let url = through(&stage.database.url, &proxy);
        let (folder, settings) =
            (shipped("counters"), [("database_url", &*url), ("projector_batch_events_max", "5")]);
        let process = match over_kafka {
            true => stage.kafka_process(&[&folder], &settings).await,
            false => stage.process(&[&folder], &settings).await,
        };
        let mut counters = Counters::new(20);
        stage.count(&mut counters, 20).await;
        stage.assert_counted(&counters).await;
        // Some pauses are long enough to begin anew and fold.
        let cutting = Cutting::start(proxy.clone(), 20..400);
        while cutting.done() < 25 {
            stage.count(&mut counters, 5).await;
        }
        drop(cutting);
        stage.assert_counted(&counters).await;
        until("it follows again", async || process.status("counters") == Status::Running).await;
        process.stop().await;
    }
}
