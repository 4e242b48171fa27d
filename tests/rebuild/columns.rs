//! Columns that are named as our own statements name things.

use std::collections::BTreeMap;

use annals::{
    projector::{Folder, Progress},
    read_model::{Freshness, ListQuery, ReadModels},
    rebuild::{Options, State, Swap},
};
use serde_json::{Value, json};

use crate::stage::{Counters, Stage, shipped};

/// The shipped counters, whose columns `counter` and `version` are called `r` and `q`.
fn renamed() -> Folder {
    let files = shipped("counters").files().clone();
    let files = files.into_iter().map(|(name, text)| {
        let text = text.replace("c.counter", "c.r").replace("counter bigint", "r bigint");
        let text = text.replace("counter =", "r =").replace("(id, counter, version)", "(id, r, q)");
        let text = text.replace("version bigint", "q bigint").replace("version = e.version", "q = e.version");
        (name, text)
    });
    Folder::parse(files.collect::<BTreeMap<_, _>>()).expect("a folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_served_and_compared_whole() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(3);
    let process = stage.process(&[&renamed()], &[]).await;
    stage.count(&mut counters, 20).await;
    stage.folded("counters").await;

    let config = stage.database.config(&[]);
    let (log, progress) = (stage.database.reader(), Progress::new(["counters"]));
    let models = ReadModels::new(&config.databases, log, None, progress, config.reads).expect("a pool");
    let query = ListQuery::parse([("limit", "500")]);
    let page = models.list("counters", &query, Freshness::default()).await.expect("an answer").value;
    let rows: Vec<Value> = page.items.iter().map(|row| row.parse().expect("JSON")).collect();
    assert_eq!(rows.len(), counters.expected.len());
    for row in &rows {
        let id = row["id"].as_str().expect("an id");
        let (counter, version) = counters.expected[&id.parse().expect("a uuid")];
        assert_eq!(*row, json!({"id": id, "r": counter, "q": version}));
        let alone = models.get("counters", &[id], Freshness::default()).await.expect("an answer").value;
        assert_eq!(alone.expect("a row").parse::<Value>().expect("JSON"), *row);
    }

    stage.execute("update projection_counters_1.counters set q = q + 1").await;
    let verify = stage.start(Options { swap: Swap::Never, ..Options::default() }).await;
    let verified = stage.reaches(verify.id, State::Done).await;
    let table = &verified.difference().expect("they differ").tables[0];
    assert_eq!((table.only_live.len(), table.only_new.len()), (3, 3), "{table:?}");
    process.stop().await;
}
