//! Projections over the log and over Kafka, and what stops them.

#[path = "projector/another_cluster.rs"]
mod another_cluster;
#[path = "relay/broker.rs"]
mod broker;
#[path = "projector/chance.rs"]
mod chance;
#[path = "projector/faults.rs"]
mod faults;
#[path = "projector/folders.rs"]
mod folders;
#[path = "projector/history.rs"]
mod history;
#[path = "projector/lag.rs"]
mod lag;
#[path = "projector/meetings.rs"]
mod meetings;
#[path = "projector/models.rs"]
mod models;
#[path = "projector/over_kafka.rs"]
mod over_kafka;
#[path = "projector/parked.rs"]
mod parked;
#[path = "projector/sequence.rs"]
mod sequence;
#[path = "projector/set_based.rs"]
mod set_based;
#[path = "projector/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;
#[path = "projector/trial.rs"]
mod trial;

use annals::{
    log::Expected,
    projector::{Folder, Status},
    rebuild::{self, Options, State},
};
use futures_util::future::join_all;
use sequence::sequence;
use stage::{Counters, Stage, shipped};
use support::{ORDER, append, append_to, until};
use uuid::Uuid;

#[tokio::test]
async fn several_events_of_a_stream_fold_in_one_batch() {
    let stage = Stage::new().await;
    let (paid, refunded, open) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let created = ("order.created", ORDER);
    let confirmed = ("order.confirmed", "{}");
    let pay = ("order.paid", r#"{"amount":9.00,"reference":"r"}"#);
    let part = ("order.refunded", r#"{"amount":4.00,"reason":"late","in_full":false}"#);
    let rest = ("order.refunded", r#"{"amount":5.00,"reason":"late","in_full":true}"#);
    stage.append(append_to(paid, Expected::NoStream, &[created, confirmed, pay, part])).await;
    stage.append(append_to(open, Expected::NoStream, &[created])).await;
    stage.append(append_to(refunded, Expected::NoStream, &[created, confirmed, pay, part, rest])).await;
    let process = stage.process(&[&shipped("orders")], &[]).await;
    stage.folded("orders").await;
    let rows = stage.rows("orders").await;
    let seen =
        |id: &Uuid| ["status", "paid", "refunded", "version"].map(|column| rows[id][column].to_string());
    assert_eq!(seen(&paid), [r#""paid""#, "9.00", "4.00", "4"]);
    assert_eq!(seen(&open), [r#""created""#, "0.00", "0.00", "1"]);
    assert_eq!(seen(&refunded), [r#""refunded""#, "9.00", "9.00", "5"]);
    assert_eq!(process.status("orders"), Status::Running);
    process.stop().await;
}

#[tokio::test]
async fn any_size_of_batch_comes_to_the_same_rows() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(20);
    stage.count(&mut counters, 200).await;
    for batch in ["1", "7", "64", "10000"] {
        let process = stage.process(&[&shipped("counters")], &[("projector_batch_events_max", batch)]).await;
        stage.assert_counted(&counters).await;
        process.stop().await;
        stage.forget("counters").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_and_twins_fold_each_event_once() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(30);
    let folder = shipped("counters");
    for _ in 0..10 {
        let small = [("projector_batch_events_max", "5")];
        let processes = (stage.process(&[&folder], &small).await, stage.process(&[&folder], &small).await);
        stage.count(&mut counters, 20).await;
        drop(processes);
    }
    let _last = stage.process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_where_another_holds_partitions() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(30);
    stage.count(&mut counters, 10).await;
    let folder = shipped("counters");
    let _process = stage.process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
    // Somebody else holds one partition.
    let mut client = stage.database.client().await;
    let held = client.transaction().await.expect("a transaction");
    let hold = "select from projections.checkpoints where partition = 0 for update";
    held.execute(hold, &[]).await.expect("held");
    stage.count(&mut counters, 50).await;
    let observer = stage.database.client().await;
    let head = stage.database.reader().head().await.expect("a head").0;
    until("the other partitions are folded", async || {
        let sql = "select min(position) from projections.checkpoints where partition <> 0";
        observer.query_one(sql, &[]).await.expect("a row").get::<_, i64>(0) >= head
    })
    .await;
    held.rollback().await.expect("given back");
    stage.assert_counted(&counters).await;
}

#[tokio::test]
async fn small_batches_never_read_a_whole_table() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(500);
    let _process = stage.process(&[&shipped("counters")], &[]).await;
    // The first statements meet an empty table, where reading it whole is the cheapest plan.
    stage.count(&mut counters, 300).await;
    stage.folded("counters").await;
    let client = stage.database.client().await;
    let scans = async || {
        let row = client.query_one(include_str!("projector/scans.sql"), &[]).await.expect("a row");
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    until("the statistics know of the updates", async || scans().await.1 > 10).await;
    // Making the primary key counts as one, and its connection may report it later than the updates' does.
    assert!(scans().await.0 <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_gather_streams_are_summed_exactly_by_several_workers() {
    let stage = Stage::new().await;
    let folders = [&shipped("orders"), &shipped("customer_summary")];
    let small = [("projector_batch_events_max", "7")];
    let _processes = (stage.process(&folders, &small).await, stage.process(&folders, &small).await);
    for number in 0..90 {
        let created = format!(r#"{{"customer_id":"c-{}","items":[],"total":{number}.10}}"#, number % 4);
        let replaced = format!(r#"{{"items":[],"total":{number}.35}}"#);
        let refunded = r#"{"amount":0.05,"reason":"r","in_full":false}"#;
        let events = [
            ("order.created", created.as_str()),
            ("order.items_replaced", &replaced),
            ("order.cancelled", r#"{"reason":"r"}"#),
            ("order.refunded", refunded),
        ];
        stage.append(append_to(Uuid::now_v7(), Expected::NoStream, &events[..1 + number % 4])).await;
    }
    stage.folded("orders").await;
    stage.folded("customer_summary").await;
    let client = stage.database.client().await;
    let wrong = client.query(include_str!("projector/unlike_orders.sql"), &[]).await.expect("readable");
    assert_eq!(wrong.len(), 0, "{wrong:?}");
    let count = client.query_one(include_str!("projector/summed.sql"), &[]).await.expect("a row");
    assert_eq!(count.get::<_, i64>(0), 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_fill_a_batch_by_their_bytes_are_all_folded() {
    let stage = Stage::new().await;
    let data = format!(r#"{{"customer_id":"{}","items":[],"total":1.00}}"#, "x".repeat(2_000));
    for _ in 0..8 {
        let created = (0..100).map(|_| {
            let append = append_to(Uuid::now_v7(), Expected::NoStream, &[("order.created", &data)]);
            stage.append(append)
        });
        join_all(created).await;
    }
    let process = stage.process(&[&shipped("orders")], &[("projector_batch_bytes_max", "700500")]).await;
    stage.folded("orders").await;
    assert_eq!(stage.rows("orders").await.len(), 800);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_holds_little_for_a_projection_is_looked_through_in_steps() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(3);
    for round in 0..5 {
        let filler = (0..20 + round).map(|_| stage.append(append("order.created", ORDER)));
        join_all(filler).await;
        stage.count(&mut counters, 1).await;
    }
    let client = stage.database.client().await;
    client.batch_execute(include_str!("projector/steps.sql")).await.expect("noted");
    let small = [("projector_scan_events_max", "3")];
    let _process = stage.process(&[&shipped("counters")], &small).await;
    stage.assert_counted(&counters).await;

    // A rebuild too, while more comes.
    let (pool, id) = (stage.database.pool(), Uuid::now_v7());
    rebuild::start(&pool, id, "counters", None, Options::default()).await.expect("it begins");
    let mut more = 0..30;
    until("it is done", async || {
        if more.next().is_some() {
            join_all((0..10).map(|_| stage.append(append("order.created", ORDER)))).await;
            stage.count(&mut counters, 1).await;
        }
        rebuild::get(&pool, id).await.expect("known").state == State::Done
    })
    .await;
    stage.assert_counted(&counters).await;
    let sql = "select generation, max(step) from public.steps group by 1 order by 1";
    let longest = client.query(sql, &[]).await.expect("noted");
    let longest: Vec<(i32, i64)> = longest.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(longest, [(1, 3), (2, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_whole_log_is_kept_by_one_worker_at_a_time() {
    let stage = Stage::new().await;
    let events = ["counter.created", "counter.incremented", "counter.reset", "order.created"];
    let folder = sequence(1, &events, "global");
    let mut counters = Counters::new(10);
    let small = [("projector_batch_events_max", "7")];
    let _processes = (stage.process(&[&folder], &small).await, stage.process(&[&folder], &small).await);
    for _ in 0..50 {
        stage.count(&mut counters, 2).await;
        stage.append(append("order.created", ORDER)).await;
    }
    stage.folded("sequence").await;
    let head = stage.database.reader().head().await.expect("a head").0;
    assert_eq!(stage.numbered().await, (head, 0), "all, and none out of its place");
    let client = stage.database.client().await;
    let row = client.query_one(include_str!("projector/positions.sql"), &[]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 1, "all partitions move together");
}

#[tokio::test]
async fn a_poison_event_stops_its_projection_by_name_and_no_other() {
    let stage = Stage::new().await;
    let (before, poison) = (Uuid::now_v7(), Uuid::now_v7());
    let increment = |data| ("counter.incremented", data);
    let created = ("counter.created", r#"{"code_hash":"x"}"#);
    stage.append(append_to(before, Expected::NoStream, &[created, increment(r#"{"by":2}"#)])).await;
    stage.append(append_to(poison, Expected::NoStream, &[created, increment(r#"{"by":"tea"}"#)])).await;
    stage.append(append("order.created", ORDER)).await;
    let process = stage.process(&[&shipped("counters"), &shipped("orders")], &[]).await;
    let reason = process.stands_still("counters").await;
    for part in ["on/counter.incremented.sql", "position 4", "invalid input syntax"] {
        assert!(reason.contains(part), "{reason}");
    }
    stage.folded("orders").await;
    assert_eq!(process.status("orders"), Status::Running);
    let rows = stage.rows("counters").await;
    assert_eq!(rows[&before]["counter"], 2, "what came before is folded");
    assert_eq!(rows[&poison]["counter"], 0);
    let client = stage.database.client().await;
    let sql = "select stopped ->> 'event_type' from projections.projections where projection = 'counters'";
    assert_eq!(client.query_one(sql, &[]).await.expect("a row").get::<_, &str>(0), "counter.incremented");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_can_read_what_stopped_the_one_before_takes_its_place() {
    let stage = Stage::new().await;
    let poison = Uuid::now_v7();
    let increment = |data| ("counter.incremented", data);
    let created = ("counter.created", r#"{"code_hash":"x"}"#);
    stage.append(append_to(poison, Expected::NoStream, &[created, increment(r#"{"by":"tea"}"#)])).await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    process.stands_still("counters").await;
    stage.append(append_to(poison, Expected::Any, &[increment(r#"{"by":2}"#)])).await;
    assert!(matches!(process.status("counters"), Status::Stopped { .. }));
    process.stop().await;

    let mut files = shipped("counters").files().clone();
    for (file, from, to) in [
        ("projection.toml", "version = 1", "version = 2"),
        (
            "on/counter.incremented.sql",
            "(e.data ->> 'by')::bigint",
            "case when jsonb_typeof(e.data -> 'by') = 'number' then (e.data ->> 'by')::bigint else 0 end",
        ),
    ] {
        assert!(files[file].contains(from));
        files.insert(file.into(), files[file].replace(from, to));
    }
    let process = stage.process(&[&Folder::parse(files).expect("a folder")], &[]).await;
    until("the new one serves", async || stage.schema("counters").await == "projection_counters_2").await;
    until("it follows", async || process.status("counters") == Status::Running).await;
    stage.append(append_to(poison, Expected::Any, &[increment(r#"{"by":3}"#)])).await;
    stage.folded("counters").await;
    let rows = stage.rows("counters").await;
    assert_eq!((&rows[&poison]["counter"], &rows[&poison]["version"]), (&5.into(), &4.into()));
    assert_eq!(process.status("counters"), Status::Running);
    process.stop().await;
}

#[tokio::test]
async fn an_event_of_a_newer_program_is_waited_for() {
    let stage = Stage::new().await;
    let id = Uuid::now_v7();
    let created = ("counter.created", r#"{"code_hash":"x"}"#);
    stage.append(append_to(id, Expected::NoStream, &[created])).await;
    let mut newer = append_to(id, Expected::Any, &[("counter.incremented", r#"{"steps":1}"#)]);
    newer.events[0].schema_version = 99;
    stage.append(newer).await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    let reason = process.stands_still("counters").await;
    assert!(reason.contains("schema version 99"), "{reason}");
    assert_eq!(stage.rows("counters").await[&id]["version"], 1);
    assert!(matches!(process.status("counters"), Status::Waiting { .. }));
}

#[tokio::test]
async fn a_folder_that_changed_under_its_version_is_refused() {
    let stage = Stage::new().await;
    stage.append(append("counter.created", r#"{"code_hash":"x"}"#)).await;
    stage.process(&[&shipped("counters")], &[]).await.stop().await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.folded("counters").await;
    process.stop().await;
    let change = |file: &str, from: &str, to: &str| {
        let mut files = shipped("counters").files().clone();
        let text = files[file].replace(from, to);
        files.insert(file.into(), text);
        Folder::parse(files).expect("a folder")
    };
    let same_version = change("on/counter.reset.sql", "counter = 0", "counter = 1");
    let process = stage.process(&[&same_version, &shipped("orders")], &[]).await;
    let reason = process.stands_still("counters").await;
    assert!(reason.contains("on/counter.reset.sql") && reason.contains("raise `version`"), "{reason}");
    until("the other goes on", async || process.status("orders") == Status::Running).await;
    process.stop().await;
    let higher = change("projection.toml", "version = 1", "version = 2");
    let process = stage.process(&[&higher], &[("projector_rebuild_on_new_version", "false")]).await;
    stage.append(append("counter.created", r#"{"code_hash":"y"}"#)).await;
    stage.folded("counters").await;
    assert_eq!(
        process.status("counters"),
        Status::Running,
        "the stored folder is worked with until a rebuild"
    );
}
