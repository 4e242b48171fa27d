//! Generations of a folder by which several events of a batch meet one row of an insert, which the database refuses.

use annals::{
    projector::Folder,
    rebuild::{Options, State, Swap},
};
use futures_util::future::join_all;

use crate::{
    stage::{Stage, shipped},
    support::append,
};

/// The shipped counters, and how many there are.
fn counted() -> Folder {
    let mut files = shipped("counters").files().clone();
    let mut edit = |file: &str, from: &str, to: &str| {
        let text = files[file].replace(from, to);
        assert_ne!(text, files[file]);
        files.insert(file.to_owned(), text);
    };
    edit("projection.toml", "rows = \"own\"", "rows = \"shared\"");
    edit(
        "table.sql",
        "(fillfactor = 70);",
        "(fillfactor = 70); create table sums (one integer primary key, n bigint not null)",
    );
    let all = "with own as (insert into counters select e.stream_id, 0, e.version from events e) \
               insert into sums (one, n) select 1, 1 from events e \
               on conflict (one) do update set n = sums.n + excluded.n";
    files.insert("on/counter.created.sql".into(), all.into());
    Folder::parse(files).expect("it loads")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_generation_folds_them_one_by_one() {
    let stage = Stage::new().await;
    let create = async || {
        join_all((0..20).map(|_| stage.append(append("counter.created", r#"{"code_hash":"x"}"#)))).await;
    };
    create().await;
    let process = stage.process(&[&counted()], &[]).await;
    stage.folded("counters").await;
    let rebuild = stage.start(Options { swap: Swap::Manual, ..Options::default() }).await;
    stage.reaches(rebuild.id, State::Waiting).await;
    process.stop().await;
    // A batch of many, for the live generation and the one that waits.
    create().await;
    let process = stage.process(&[&counted()], &[]).await;
    stage.folded("counters").await;
    let client = stage.database.client().await;
    for generation in [1, 2] {
        let sum = format!("select n from projection_counters_{generation}.sums");
        let sum: i64 = client.query_one(&sum, &[]).await.expect("a row").get(0);
        assert_eq!(sum, 40, "generation {generation}");
    }
    stage.reaches(rebuild.id, State::Waiting).await;
    process.stop().await;
}
