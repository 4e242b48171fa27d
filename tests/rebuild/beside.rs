//! Live events beside a rebuild, and a rebuild whose process is killed.

use annals::rebuild::{self, Options, State};

use crate::{
    stage::{Counters, Stage, shipped},
    support::{process::Process, until},
};

const SLOW: Options = Options { workers: 2, max_events_per_second: Some(50), swap: rebuild::Swap::Auto };

#[tokio::test(flavor = "multi_thread")]
async fn live_events_go_on_being_folded_while_a_rebuild_runs() {
    let stage = Stage::new().await;
    let small = [("projector_batch_events_max", "5")];
    let process = stage.process(&[&shipped("counters")], &small).await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 300).await;
    stage.folded("counters").await;
    let pool = stage.database.pool();
    let rebuild = stage.start(SLOW).await;
    let now = async || rebuild::get(&pool, rebuild.id).await.expect("known");
    until("the rebuild is on its way", async || now().await.events_done > 0).await;
    for _ in 0..20 {
        stage.count(&mut counters, 1).await;
        stage.assert_counted(&counters).await;
    }
    let rebuilding = now().await;
    assert_eq!(rebuilding.state, State::Running, "all that was beside it");
    assert!(rebuilding.events_done < rebuilding.events_total, "{rebuilding:?}");
    rebuild::cancel(&pool, rebuild.id).await.expect("cancelled");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_is_carried_on_by_another_process_when_its_lease_ends() {
    let stage = Stage::new().await;
    let settings = [
        ("projector_batch_events_max", "10"),
        ("projector_session_timeout_ms", "6000"),
        ("projector_poll_interval_ms", "50"),
        ("projections_dir", "projections"),
    ];
    let first = Process::worker(&stage.database, &settings);
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 150).await;
    let pool = stage.database.pool();
    let is_there =
        async || !annals::projector::overview(&pool, Some("counters")).await.expect("read").is_empty();
    until("the read model is there", is_there).await;
    stage.assert_counted(&counters).await;
    let rebuild = stage.start(SLOW).await;
    let now = async || rebuild::get(&pool, rebuild.id).await.expect("known");
    until("the rebuild is on its way", async || now().await.events_done > 0).await;
    let second = Process::worker(&stage.database, &settings);
    first.kill();
    let left = now().await;
    assert!(left.is_carried() && left.events_done < left.events_total, "{left:?}");
    until("another goes on with it", async || now().await.events_done > left.events_done).await;
    stage.count(&mut counters, 20).await;
    stage.reaches(rebuild.id, State::Done).await;
    assert_eq!(stage.live().await, 2);
    stage.assert_counted(&counters).await;
    drop(second);
}
