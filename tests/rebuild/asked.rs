//! What people ask of a rebuild: wait, pause, cancel, swap, go back; and what readers see meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals::{
    projector::Progress,
    read_model::{Freshness, ListQuery, ReadModels},
    rebuild::{self, Error, Options, State, Swap},
};

use tokio::time::Instant;

use crate::{
    MANUAL, doubled,
    stage::{Counters, Stage, shipped},
    support::until,
};

/// Ten of those that a rebuild has here.
const HEARTBEATS: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_swap_waits_and_going_back_is_never_stale() {
    let stage = Stage::new().await;
    let pool = stage.database.pool();
    let mut counters = Counters::new(10);
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.count(&mut counters, 50).await;
    stage.folded("counters").await;
    assert!(matches!(rebuild::rollback(&pool, "counters").await, Err(Error::NothingToGoBackTo)));
    let rebuild = stage.start(MANUAL).await;
    stage.reaches(rebuild.id, State::Waiting).await;
    let second = rebuild::start(&pool, uuid::Uuid::now_v7(), "counters", None, MANUAL).await;
    assert!(matches!(second, Err(Error::AlreadyRunning(_))), "{second:?}");
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    assert_eq!(stage.live().await, 1);
    rebuild::swap(&pool, rebuild.id).await.expect("swapped");
    for live in [2, 1, 2] {
        stage.count(&mut counters, 20).await;
        stage.assert_counted(&counters).await;
        assert_eq!(stage.live().await, live);
        rebuild::rollback(&pool, "counters").await.expect("kept");
        stage.assert_counted(&counters).await;
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_generation_is_dropped_when_its_time_ends() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let process = stage.process(&[&shipped("counters")], &[("projector_keep_old_seconds", "0")]).await;
    stage.count(&mut counters, 50).await;
    stage.folded("counters").await;
    let rebuild = stage.start(Options::default()).await;
    stage.reaches(rebuild.id, State::Done).await;
    until("the old one is dropped", async || stage.schemas().await == ["projection_counters_2"]).await;
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_it_stands_resumed_it_goes_on_cancelled_it_leaves_nothing() {
    let stage = Stage::new().await;
    let pool = stage.database.pool();
    let mut counters = Counters::new(10);
    let small = [("projector_batch_events_max", "5")];
    let process = stage.process(&[&shipped("counters")], &small).await;
    stage.count(&mut counters, 200).await;
    stage.folded("counters").await;
    let estimate = async |most| {
        rebuild::estimate(&pool, &stage.database.reader(), "counters", most).await.expect("estimated")
    };
    let none = estimate(None).await;
    let head = stage.database.reader().head().await.expect("a head").0;
    assert!(none.events == head && none.bytes > 0 && none.seconds.is_none(), "{none:?}");
    assert_eq!(rebuild::list(&pool, None, None, 10).await.expect("listed"), []);
    let slow = Options { max_events_per_second: Some(50), ..Options::default() };
    let rebuild = stage.start(slow).await;
    let now = async || rebuild::get(&pool, rebuild.id).await.expect("known");
    let is_rated = async || now().await.eta_seconds().is_some_and(|seconds| seconds > 0.0);
    until("it is on its way, and says for how long", is_rated).await;
    assert_eq!(rebuild::pause(&pool, rebuild.id).await.expect("paused").state, State::Paused);
    assert!(matches!(rebuild::pause(&pool, rebuild.id).await, Err(Error::NotNow(State::Paused))));
    stands(&stage, &mut counters, head).await;
    assert_eq!((now().await.state, now().await.eta_seconds()), (State::Paused, None));
    assert_eq!(rebuild::resume(&pool, rebuild.id).await.expect("resumed").state, State::Running);
    let before = now().await.events_done;
    until("it goes on", async || now().await.events_done > before).await;
    assert_eq!(rebuild::cancel(&pool, rebuild.id).await.expect("cancelled").state, State::Cancelled);
    until("nothing is left", async || stage.schemas().await == ["projection_counters_1"]).await;
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    let next = stage.start(Options { swap: Swap::Auto, ..Options::default() }).await;
    let done = stage.reaches(next.id, State::Done).await;
    assert_eq!(done.generation, Some(3), "numbers are never used again");
    // One that was throttled and cancelled tells nothing of the next.
    let throttled = stage.start(slow).await;
    let rated = async || rebuild::get(&pool, throttled.id).await.expect("known").events_per_second.is_some();
    until("it has a rate", rated).await;
    rebuild::cancel(&pool, throttled.id).await.expect("cancelled");
    let (rate, head) = (done.events_per_second.expect("a rate"), stage.database.reader().head().await);
    let events = head.expect("a head").0 as f64;
    assert_eq!(estimate(None).await.seconds, Some(events / rate));
    assert_eq!(estimate(Some(1)).await.seconds, Some(events));
    process.stop().await;
}

/// Waits until the generation in the making stands before `end`, and sees that it does while live events are folded.
async fn stands(stage: &Stage, counters: &mut Counters, end: i64) {
    let client = stage.database.client().await;
    let sql = "select stream_type, partition, position from projections.checkpoints where generation = 2 order by 1, 2";
    let checkpoints = async || -> Vec<(String, i32, i64)> {
        let rows = client.query(sql, &[]).await.expect("readable");
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    };
    // Whoever carries it on hears of the pause with the next heartbeat, after 50 ms; it stands when many went by.
    let (mut before, mut since) = (checkpoints().await, Instant::now());
    until("it stands", async || {
        stage.count(counters, 1).await;
        stage.assert_counted(counters).await;
        let now = checkpoints().await;
        if std::mem::replace(&mut before, now.clone()) != now {
            since = Instant::now();
        }
        since.elapsed() > HEARTBEATS
    })
    .await;
    for _ in 0..20 {
        stage.count(counters, 1).await;
        stage.assert_counted(counters).await;
    }
    assert_eq!(checkpoints().await, before);
    assert!(before.iter().all(|(_, _, position)| *position < end), "it was on its way: {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_throttled_takes_its_time() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let process = stage.process(&[&shipped("counters")], &[("projector_batch_events_max", "5")]).await;
    stage.count(&mut counters, 60).await;
    stage.folded("counters").await;
    let (began, events) = (Instant::now(), stage.database.events().await.len());
    let rebuild = stage.start(Options { max_events_per_second: Some(40), ..Options::default() }).await;
    stage.reaches(rebuild.id, State::Done).await;
    let (took, least) = (began.elapsed().as_secs_f64(), (events - 5) as f64 / 40.0);
    assert!(took >= least, "{events} events in {took} s");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_held_up_holds_up_no_other() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(20);
    let process = stage.process(&[&shipped("counters")], &[("projector_batch_events_max", "5")]).await;
    stage.count(&mut counters, 100).await;
    stage.folded("counters").await;
    let rebuild = stage.start(Options { max_events_per_second: Some(50), ..Options::default() }).await;
    let (mut holder, client) = (stage.database.client().await, stage.database.client().await);
    let checkpoint = "select from projections.checkpoints where generation = 2 and partition = 0";
    until("it begins", async || !client.query(checkpoint, &[]).await.expect("rows").is_empty()).await;
    let held = holder.transaction().await.expect("a transaction");
    held.execute(&format!("{checkpoint} for update"), &[]).await.expect("held");
    // Partitions 0 and 2 are one lane's, 1 and 3 the other's.
    let other = async || -> i64 {
        let sql = "select sum(position)::bigint from projections.checkpoints where generation = 2 and partition in (1, 3)";
        client.query_one(sql, &[]).await.expect("a row").get(0)
    };
    let before = other().await;
    until("the other lane goes on", async || other().await > before).await;
    held.rollback().await.expect("given back");
    rebuild::cancel(&stage.database.pool(), rebuild.id).await.expect("cancelled");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_rows_that_differ_the_first_are_told() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(60);
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.count(&mut counters, 200).await;
    stage.folded("counters").await;
    stage.execute("update projection_counters_1.counters set counter = -7").await;
    let rebuild = stage.start(Options { swap: Swap::Never, ..Options::default() }).await;
    let done = stage.reaches(rebuild.id, State::Done).await;
    let table = &done.difference().expect("they differ").tables[0];
    let rows = Some(counters.expected.len() as i64);
    assert!(rows > Some(20) && !table.is_equal, "{table:?}");
    assert_eq!((table.live_rows, table.new_rows), (rows, rows));
    assert_eq!((table.only_live.len(), table.only_new.len()), (20, 20));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_always_get_one_whole_generation() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(40);
    let old = stage.process(&[&shipped("counters")], &[]).await;
    stage.count(&mut counters, 200).await;
    stage.assert_counted(&counters).await;
    old.stop().await;
    let count: i64 = counters.expected.values().map(|(count, _)| count).sum();
    let process = stage.process(&[&doubled(&[])], &[]).await;
    let config = stage.database.config(&[]);
    let (log, progress) = (stage.database.reader(), Progress::new(["counters"]));
    let models = ReadModels::new(&config.databases, log, None, progress, config.reads).expect("a pool");
    let ended = Arc::new(AtomicBool::new(false));
    let reading = (0..3).map(|_| {
        let (models, ended) = (models.clone(), ended.clone());
        tokio::spawn(async move {
            let mut seen = [0, 0];
            while !ended.load(Ordering::Relaxed) {
                let query = ListQuery::parse([("limit", "500")]);
                let answer = models.list("counters", &query, Freshness::default()).await.expect("an answer");
                let rows =
                    answer.value.items.iter().map(|row| row.parse::<serde_json::Value>().expect("JSON"));
                let sum: i64 = rows.map(|row| row["counter"].as_i64().expect("a number")).sum();
                assert_eq!(sum, i64::from(answer.generation) * count, "generation {}", answer.generation);
                seen[answer.generation as usize - 1] += 1;
            }
            seen
        })
    });
    let reading: Vec<_> = reading.collect();
    let id = stage.the_rebuild().await;
    stage.reaches(id, State::Done).await;
    for _ in 0..40 {
        rebuild::rollback(&stage.database.pool(), "counters").await.expect("kept");
    }
    ended.store(true, Ordering::Relaxed);
    for reader in reading {
        let seen = reader.await.expect("no reader saw a mixture");
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }
    process.stop().await;
}
