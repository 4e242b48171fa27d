//! Faults that are no event's: what may pass is waited for, what cannot pass is said. Neither sets anything apart.

use annals::{log::Position, projector::Status};
use tokio::sync::watch;

use crate::{
    stage::{Counters, Stage, shipped},
    support::until,
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
