//! Live events beside a rebuild, and a rebuild whose process is killed.

use annals::{
    projector::Status,
    rebuild::{self, Options, State},
};
use uuid::Uuid;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_another_s_now_is_let_go_at_once() {
    let stage = Stage::new().await;
    let folders = [&shipped("counters"), &shipped("projects")];
    // Nobody hears of the loss by a heartbeat meanwhile.
    let process = stage.process(&folders, &[("projector_poll_interval_ms", "3000")]).await;
    for folder in ["counters", "projects"] {
        until("it is made", async || process.status(folder) == Status::Running).await;
    }
    let (holder, client) = (stage.database.client().await, stage.database.client().await);
    let is_waited_for = async || -> bool {
        client.query_one(include_str!("waited_for.sql"), &[]).await.expect("a row").get(0)
    };
    let lock = "select pg_advisory_lock(hashtextextended('annals.projection.counters', 0))";
    holder.batch_execute(lock).await.expect("held");
    stage.start(Options::default()).await;
    until("its generation is to be made", is_waited_for).await;
    stage
        .execute("update projections.rebuilds set holder = gen_random_uuid(), leased_until = 'infinity'")
        .await;
    holder.batch_execute("select pg_advisory_unlock_all()").await.expect("given back");
    // Behind whoever waits.
    holder.batch_execute(lock).await.expect("held");

    let (pool, next) = (stage.database.pool(), Uuid::now_v7());
    rebuild::start(&pool, next, "projects", None, Options::default()).await.expect("it begins");
    until("it goes on with others", async || {
        assert!(!is_waited_for().await, "it is tried again");
        let next = rebuild::get(&pool, next).await.expect("known");
        next.is_carried() || next.state.is_final()
    })
    .await;
    process.stop().await;
}
