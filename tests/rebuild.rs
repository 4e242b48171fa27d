//! Rebuilds: equal rows, under traffic, through crashes, and back again.

#[path = "rebuild/asked.rs"]
mod asked;
#[path = "rebuild/beside.rs"]
mod beside;
#[path = "rebuild/columns.rs"]
mod columns;
#[path = "rebuild/limits.rs"]
mod limits;
#[path = "rebuild/narrower.rs"]
mod narrower;
#[path = "rebuild/one_by_one.rs"]
mod one_by_one;
#[path = "rebuild/order.rs"]
mod order;
#[path = "rebuild/over_http.rs"]
mod over_http;
#[path = "rebuild/parked.rs"]
mod parked;
#[path = "rebuild/read_by_others.rs"]
mod read_by_others;
#[path = "projector/sequence.rs"]
mod sequence;
#[path = "projector/stage.rs"]
#[allow(dead_code, reason = "shared with the tests of projectors")]
mod stage;
mod support;
#[path = "rebuild/together.rs"]
mod together;

use std::collections::BTreeMap;

use annals::{
    projector::{Folder, Status},
    rebuild::{self, Error, Options, Rebuild, State, Swap},
};
use stage::{Counters, Stage, shipped};
use support::{append, append_to, until};
use uuid::Uuid;

const MANUAL: Options = Options { workers: 2, max_events_per_second: None, swap: Swap::Manual };

impl Stage {
    async fn start(&self, options: Options) -> Rebuild {
        rebuild::start(&self.database.pool(), uuid::Uuid::now_v7(), "counters", None, options)
            .await
            .expect("a rebuild begins")
    }

    async fn start_from(&self, folder: &Folder) -> Rebuild {
        let from = Some((folder, &support::registry()));
        rebuild::start(&self.database.pool(), Uuid::now_v7(), "counters", from, MANUAL).await.expect("begins")
    }

    /// Waits until a rebuild is in a state, and never beyond an end.
    async fn reaches(&self, id: Uuid, state: State) -> Rebuild {
        let pool = self.database.pool();
        until(&format!("the rebuild is {state}"), async || {
            let now = rebuild::get(&pool, id).await.expect("known");
            assert!(now.state == state || !now.state.is_final(), "{now:?}");
            now.state == state
        })
        .await;
        rebuild::get(&pool, id).await.expect("known")
    }

    /// The only rebuild there is, once there is one.
    async fn the_rebuild(&self) -> Uuid {
        let pool = self.database.pool();
        let list = async || rebuild::list(&pool, Some("counters"), None, 10).await.expect("listed");
        until("a rebuild begins", async || !list().await.is_empty()).await;
        list().await[0].id
    }

    async fn live(&self) -> i32 {
        let sql = "select live_generation from projections.projections where projection = 'counters'";
        self.database.client().await.query_one(sql, &[]).await.expect("a row").get(0)
    }

    /// The generations there are, by their schemas.
    async fn schemas(&self) -> Vec<String> {
        let sql = "select nspname::text from pg_namespace where nspname like 'projection\\_%' order by 1";
        let rows = self.database.client().await.query(sql, &[]).await.expect("readable");
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn execute(&self, sql: &str) {
        self.database.client().await.batch_execute(sql).await.expect("executed");
    }
}

/// `counters` of version 2, which counts twice as much, with changes to its files.
fn doubled(changes: &[(&str, &str, &str)]) -> Folder {
    let mut files: BTreeMap<String, String> = shipped("counters").files().clone();
    let own = [
        ("projection.toml", "version = 1", "version = 2"),
        ("on/counter.incremented.sql", "(e.data ->> 'by')::bigint", "2 * (e.data ->> 'by')::bigint"),
    ];
    for (file, from, to) in own.iter().chain(changes) {
        let text = files.entry((*file).to_owned()).or_default();
        *text = if from.is_empty() { (*to).to_owned() } else { text.replace(from, to) };
    }
    Folder::parse(files).expect("a folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_is_rebuilt_row_by_row_whatever_the_batches() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(20);
    let folder = shipped("counters");
    for (generation, batch) in [(2, "3"), (3, "64"), (4, "10000")] {
        let process = stage.process(&[&folder], &[("projector_batch_events_max", batch)]).await;
        stage.count(&mut counters, 60).await;
        stage.folded("counters").await;
        let rebuild = stage.start(Options::default()).await;
        let done = stage.reaches(rebuild.id, State::Done).await;
        let found = done.comparison.expect("compared");
        assert!(found.must_be_equal && !found.is_wrong(), "{found:?}");
        assert_eq!(stage.live().await, generation);
        stage.assert_counted(&counters).await;
        stage.count(&mut counters, 20).await;
        stage.assert_counted(&counters).await;
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_live_traffic_it_goes_on_and_comes_to_the_same_rows() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(30);
    let folder = shipped("counters");
    let small = [("projector_batch_events_max", "5"), ("projector_session_timeout_ms", "6000")];
    let mut process = stage.process(&[&folder], &small).await;
    stage.count(&mut counters, 300).await;
    stage.folded("counters").await;
    let slow = Options { max_events_per_second: Some(200), ..Options::default() };
    let rebuild = stage.start(slow).await;
    let pool = stage.database.pool();
    for kill in 1..=4 {
        let done = rebuild::get(&pool, rebuild.id).await.expect("known").events_done;
        until("the rebuild gets on", async || {
            let now = rebuild::get(&pool, rebuild.id).await.expect("known");
            now.events_done > done || now.state.is_final()
        })
        .await;
        drop(process);
        // As when its lease ends.
        stage.execute("update projections.rebuilds set leased_until = clock_timestamp()").await;
        process = stage.process(&[&folder], &small).await;
        stage.count(&mut counters, 20 * kill).await;
    }
    stage.reaches(rebuild.id, State::Done).await;
    assert_eq!(stage.live().await, 2);
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kafka_two_processes_hand_over_and_swap_without_losing_their_places() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    let mut counters = Counters::new(30);
    let folder = shipped("counters");
    let small = [("projector_batch_events_max", "20")];
    let first = stage.kafka_process(&[&folder], &small).await;
    let second = stage.kafka_process(&[&folder], &small).await;
    stage.count(&mut counters, 150).await;
    stage.is_shared_by("counters", 2).await;
    stage.folded("counters").await;
    for _ in 0..2 {
        let rebuild = stage.start(Options::default()).await;
        stage.count(&mut counters, 50).await;
        stage.reaches(rebuild.id, State::Done).await;
        stage.count(&mut counters, 20).await;
        stage.assert_counted(&counters).await;
    }
    assert_eq!(stage.live().await, 3);
    let client = stage.database.client().await;
    let apart = client.query(include_str!("rebuild/apart.sql"), &[]).await.expect("readable");
    assert_eq!(apart.len(), 0, "all that follow stand alike, in the log and in Kafka: {apart:?}");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_tampered_with_is_told_and_waits_for_a_person() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.count(&mut counters, 50).await;
    stage.folded("counters").await;
    let id = *counters.expected.keys().next().expect("a counter");
    stage.execute(&format!("update projection_counters_1.counters set counter = -7 where id = '{id}'")).await;
    let verify = stage.start(Options { swap: Swap::Never, ..Options::default() }).await;
    let verified = stage.reaches(verify.id, State::Done).await;
    assert!(verified.difference().is_some());
    // Whoever only compares is told it also where the program reads events in another way than the one before.
    stage
        .execute("update projections.generations set fingerprint = fingerprint || '!' where generation = 1")
        .await;
    let verify = stage.start(Options { swap: Swap::Never, ..Options::default() }).await;
    let verified = stage.reaches(verify.id, State::Done).await;
    assert_eq!(verified.difference().expect("they differ").tables[0].only_live[0]["counter"], -7);
    stage
        .execute(
            "update projections.generations set fingerprint = left(fingerprint, -1) where generation = 1",
        )
        .await;
    until("the scratch generation is gone", async || stage.schemas().await == ["projection_counters_1"])
        .await;

    let rebuild = stage.start(Options::default()).await;
    let waiting = stage.reaches(rebuild.id, State::Waiting).await;
    let table = &waiting.difference().expect("they differ").tables[0];
    assert_eq!((table.only_live.len(), table.only_new.len()), (1, 1), "{table:?}");
    assert_eq!(
        (&table.only_live[0]["id"], &table.only_new[0]["id"]),
        (&id.to_string().into(), &id.to_string().into())
    );
    assert_eq!((&table.only_live[0]["counter"]), &serde_json::json!(-7));
    assert_eq!(stage.live().await, 1);
    stage.count(&mut counters, 20).await;
    stage.folded("counters").await;
    assert_eq!(rebuild::swap(&stage.database.pool(), rebuild.id).await.expect("swapped").state, State::Done);
    stage.assert_counted(&counters).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_version_is_a_rebuild_by_itself_while_the_old_one_serves() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let old = stage.process(&[&shipped("counters")], &[]).await;
    stage.count(&mut counters, 50).await;
    stage.assert_counted(&counters).await;
    old.stop().await;
    // It reads a stream type that version 1 does not.
    let definition = ("projection.toml", "\"counter.reset\"]", "\"counter.reset\", \"order.created\"]");
    let order = "insert into counters select e.stream_id, -1, e.version from events e";
    let folder = doubled(&[definition, ("on/order.created.sql", "", order)]);
    stage.append(append("order.created", support::ORDER)).await;
    let process = stage.process(&[&folder], &[]).await;
    let id = stage.the_rebuild().await;
    stage.count(&mut counters, 20).await;
    let done = stage.reaches(id, State::Done).await;
    assert!(!done.comparison.expect("compared").must_be_equal);
    stage.append(append("order.created", support::ORDER)).await;
    stage.count(&mut counters, 20).await;
    let doubled = async || {
        let rows = stage.rows("counters").await;
        let value = |id: &Uuid| rows.get(id).and_then(|row| row["counter"].as_i64());
        counters.expected.iter().all(|(id, (count, _))| value(id) == Some(2 * count)) && rows.len() == 12
    };
    until("version 2 serves", doubled).await;

    // A person goes back: not stale, and not rebuilt again behind their back, not even by what is under way.
    let slowly = Options { max_events_per_second: Some(60), ..Options::default() };
    let under_way = stage.start(slowly).await;
    assert_eq!(rebuild::rollback(&stage.database.pool(), "counters").await.expect("kept"), 1);
    assert_eq!(stage.reaches(under_way.id, State::Waiting).await.swap, Swap::Manual);
    assert_eq!(stage.live().await, 1);
    rebuild::cancel(&stage.database.pool(), under_way.id).await.expect("cancelled");
    stage.count(&mut counters, 20).await;
    until("version 1 serves", async || stage.rows("counters").await.len() == 10).await;
    stage.assert_counted(&counters).await;
    assert_eq!(process.status("counters"), Status::Running);
    assert_eq!(rebuild::list(&stage.database.pool(), None, None, 10).await.expect("listed").len(), 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_is_detached_and_the_live_one_goes_on() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let id = Uuid::now_v7();
    let created = ("counter.created", r#"{"code_hash":"x"}"#);
    stage.append(append_to(id, annals::log::Expected::NoStream, &[created])).await;
    let old = stage.process(&[&shipped("counters")], &[]).await;
    stage.folded("counters").await;
    old.stop().await;
    let folder = doubled(&[(
        "table.sql",
        "counter bigint not null",
        "counter bigint not null check (counter < 100000)",
    )]);
    let process = stage.process(&[&folder], &[("projector_rebuild_on_new_version", "false")]).await;
    let pool = stage.database.pool();
    let rebuild = stage.start_from(&folder).await;
    stage.reaches(rebuild.id, State::Waiting).await;
    let much = ("counter.incremented", r#"{"by":50000}"#);
    stage.append(append_to(id, annals::log::Expected::Any, &[much])).await;
    let failed = stage.reaches(rebuild.id, State::Failed).await;
    assert!(failed.error.expect("a reason").contains("on/counter.incremented.sql failed at position"));
    stage.count(&mut counters, 50).await;
    counters.expected.insert(id, (50_000, 2));
    stage.assert_counted(&counters).await;
    assert_eq!(process.status("counters"), Status::Running);
    until("what failed is dropped", async || stage.schemas().await == ["projection_counters_1"]).await;

    // From the beginning it fails too, and names the event.
    let again = stage.start_from(&folder).await;
    let failed = stage.reaches(again.id, State::Failed).await;
    let reason = failed.error.expect("a reason");
    assert!(reason.contains("on/counter.incremented.sql failed at position 2"), "{reason}");
    assert!(matches!(rebuild::swap(&pool, again.id).await, Err(Error::NotNow(State::Failed))));
    process.stop().await;
}
