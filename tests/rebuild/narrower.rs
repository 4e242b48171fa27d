//! Rebuilds where an older generation reads more than the one that serves.

use annals::{
    projector::Folder,
    rebuild::{Options, State},
};

use crate::{
    stage::{Counters, Stage, shipped},
    support::{ORDER, append, until},
};

/// The shipped counters in another version, perhaps with orders among their events.
fn counters(version: i32, with_orders: bool) -> Folder {
    let mut files = shipped("counters").files().clone();
    let definition = files["projection.toml"].replace("version = 1", &format!("version = {version}"));
    files.insert("projection.toml".into(), definition);
    if with_orders {
        let definition = files["projection.toml"].replace("events = [", "events = [\"order.created\", ");
        files.insert("projection.toml".into(), definition);
        let nothing = "update counters c set version = c.version from events e where c.id = e.stream_id";
        files.insert("on/order.created.sql".into(), nothing.into());
    }
    Folder::parse(files).expect("it loads")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on_when_nobody_reads_any_more_what_an_older_generation_did() {
    let stage = Stage::new().await;
    let mut counted = Counters::new(10);
    let old = stage.process(&[&counters(1, true)], &[]).await;
    stage.append(append("order.created", ORDER)).await;
    stage.count(&mut counted, 40).await;
    stage.folded("counters").await;
    old.stop().await;
    let slowly = [("projector_batch_events_max", "5")];
    let process = stage.process(&[&counters(2, false)], &slowly).await;
    until("the newer version serves", async || stage.live().await == 2).await;

    let rebuild = stage.start(Options { max_events_per_second: Some(20), ..Options::default() }).await;
    let client = stage.database.client().await;
    let of_orders = "select from projections.checkpoints where generation = 3 and stream_type = 'order'";
    until("it follows the older one", async || !client.query(of_orders, &[]).await.expect("rows").is_empty())
        .await;
    client
        .batch_execute("update projections.generations set follows = false where generation = 1")
        .await
        .expect("detached");
    stage.append(append("order.created", ORDER)).await;
    stage.count(&mut counted, 10).await;
    stage.reaches(rebuild.id, State::Done).await;
    stage.assert_counted(&counted).await;
    process.stop().await;
}
