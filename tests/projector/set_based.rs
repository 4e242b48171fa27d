//! What a batch does to rows: a statement per event type and wave, none for what the folder does not list.

use annals::log::Expected;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::{
    folders::changed,
    sequence::sequence,
    stage::{Stage, shipped},
    support::{ORDER, append, append_to},
};

const CREATED: &str = r#"{"code_hash":"x"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_creations_in_a_batch_are_one_statement() {
    let stage = Stage::new().await;
    stage.append(append("counter.created", CREATED)).await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.folded("counters").await;
    process.stop().await;
    let client = stage.database.client().await;
    client.batch_execute(include_str!("statements.sql")).await.expect("noted");
    join_all((0..100).map(|_| stage.append(append("counter.created", CREATED)))).await;
    let process = stage.process(&[&shipped("counters")], &[]).await;
    stage.folded("counters").await;
    process.stop().await;
    let statements = client.query("select rows from public.statements", &[]).await.expect("noted");
    let statements: Vec<i64> = statements.iter().map(|row| row.get(0)).collect();
    assert_eq!(statements, [100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_statement_are_counted_as_ignored() {
    let stage = Stage::new().await;
    let events = [("order.created", ORDER), ("order.confirmed", "{}"), ("order.shipped", "{}")];
    for _ in 0..10 {
        stage.append(append_to(Uuid::now_v7(), Expected::NoStream, &events)).await;
    }
    let process = stage.process(&[&sequence(1, &["order.created"], "stream")], &[]).await;
    stage.folded("sequence").await;
    let client = stage.database.client().await;
    let row = client.query_one(include_str!("standing.sql"), &[&"sequence"]).await.expect("a row");
    let (applied, ignored, parked): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((applied, ignored, parked), (10, 20, 0));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_meet_one_row_of_an_insert_are_folded_one_by_one() {
    let stage = Stage::new().await;
    join_all((0..20).map(|_| stage.append(append("counter.created", CREATED)))).await;
    let rows = shipped("counters").files()["projection.toml"].replace("rows = \"own\"", "rows = \"shared\"");
    let table = shipped("counters").files()["table.sql"].clone();
    // The second of a statement's rows for one key is refused (SQLSTATE 21000), though its data is in order.
    let all = "with own as (insert into counters select e.stream_id, 0, e.version from events e) \
               insert into sums (one, n) select 1, 1 from events e \
               on conflict (one) do update set n = sums.n + excluded.n";
    let folder = changed(
        "counters",
        &[
            ("projection.toml", Some(&rows)),
            (
                "table.sql",
                Some(&format!("{table} create table sums (one integer primary key, n bigint not null)")),
            ),
            ("on/counter.created.sql", Some(all)),
        ],
    );
    let process = stage.process(&[&folder.expect("it loads")], &[]).await;
    stage.folded("counters").await;
    let client = stage.database.client().await;
    let sum = client.query_one("select n from projection_counters_1.sums", &[]).await.expect("a row");
    assert_eq!(sum.get::<_, i64>(0), 20);
    process.stop().await;
}
