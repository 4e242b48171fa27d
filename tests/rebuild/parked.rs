//! Streams that a generation has parked are told in a comparison, and are no difference.

use std::collections::BTreeMap;

use annals::{
    log::{Expected, Position, StreamId},
    projector::{
        Folder,
        parked::{self, Mended, Mender},
    },
    rebuild::{self, Options, ParkedStream, Rebuild, State, Swap},
};
use uuid::Uuid;

use crate::{
    stage::Stage,
    support::{self, append_to, names::NAMES, until},
};

fn names() -> Folder {
    let files = NAMES.map(|(path, text)| (path.to_owned(), text.to_owned()));
    Folder::parse(BTreeMap::from(files)).expect("it loads")
}

impl Stage {
    async fn name(&self, id: Uuid, event: &str, name: &str) {
        let data = format!(r#"{{"name":"{name}"}}"#);
        self.append(append_to(id, Expected::Any, &[(event, &data)])).await;
    }

    async fn rebuild_names(&self, swap: Swap, state: State) -> Rebuild {
        let pool = self.database.pool();
        // One lane: two would fold streams side by side, and the first name may be free again when the second one comes.
        let options = Options { workers: 1, swap, ..Options::default() };
        let begun = rebuild::start(&pool, Uuid::now_v7(), "names", None, options).await;
        self.reaches(begun.expect("it begins").id, state).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_generation_has_parked_is_told_and_its_rows_are_no_difference() {
    let stage = Stage::new().await;
    let process = stage.process(&[&names()], &[]).await;
    let [first, twin, other] = [(); 3].map(|()| Uuid::now_v7());
    for (id, name) in [(first, "tea"), (twin, "tea"), (other, "cake")] {
        stage.name(id, "project.created", name).await;
    }
    stage.name(first, "project.deleted", "").await;
    stage.folded("names").await;
    // The live one folds it at last; a new one meets the first name again, and parks it.
    let (read, log) = (stage.database.pool(), stage.database.reader());
    let (registry, config) = (support::registry(), stage.database.config(&[]));
    let mender = Mender { read: &read, log: &log, registry: &registry, limits: &config.projector };
    let stream = StreamId { stream_type: "project".into(), id: twin };
    assert_eq!(mender.retry("names", &stream).await.expect("mended").applied, 1);

    // Nobody but a person lets it serve instead: the twin's row would go.
    let waiting = stage.rebuild_names(Swap::Auto, State::Waiting).await;
    let found = waiting.difference().expect("the new one lacks a stream");
    let parked =
        ParkedStream { stream_type: "project".into(), stream_id: twin, in_live: false, in_new: true };
    assert_eq!((found.parked_count, found.parks_more, &found.parked), (1, true, &vec![parked]));
    assert!(found.must_be_equal && found.tables[0].is_equal, "{:?}", found.tables);
    assert_eq!((found.tables[0].live_rows, found.tables[0].new_rows), (Some(1), Some(1)));

    rebuild::swap(&read, waiting.id).await.expect("swapped");

    // Any other row still counts.
    stage.execute(&format!("update projection_names_2.names set name = 'pie' where id = '{other}'")).await;
    let waiting = stage.rebuild_names(Swap::Auto, State::Waiting).await;
    let found = waiting.difference().expect("they differ");
    assert!(!found.parks_more);
    assert_eq!((found.parked[0].in_live, found.parked[0].in_new), (true, true));
    assert_eq!(found.tables[0].only_live[0]["name"], "pie");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_is_left_out_of_every_generation() {
    let stage = Stage::new().await;
    let process = stage.process(&[&names()], &[]).await;
    let [first, twin] = [(); 2].map(|()| Uuid::now_v7());
    for (id, event, name) in
        [(first, "project.created", "tea"), (twin, "project.created", "tea"), (first, "project.deleted", "")]
    {
        stage.name(id, event, name).await;
    }
    stage.folded("names").await;
    let (read, log) = (stage.database.pool(), stage.database.reader());
    let (registry, config) = (support::registry(), stage.database.config(&[]));
    let mender = Mender { read: &read, log: &log, registry: &registry, limits: &config.projector };
    let stream = StreamId { stream_type: "project".into(), id: twin };
    mender.retry("names", &stream).await.expect("mended");
    // The live one has the twin now, a new one parks it; and a later event is parked in both.
    stage.rebuild_names(Swap::Manual, State::Waiting).await;
    stage.name(twin, "project.created", "pie").await;
    stage.folded("names").await;
    let client = stage.database.client().await;
    let parked = || client.query(include_str!("parked.sql"), &[]);
    let before: Vec<(i32, i64)> =
        parked().await.expect("a table").iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(before, [(1, 4), (2, 2), (2, 4)]);
    let skipped = mender.skip("names", &stream).await.expect("skipped");
    assert_eq!(skipped, Mended { applied: 0, skipped: 1, left: 0 });
    assert_eq!(parked().await.expect("a table").len(), 0, "what was parked before it is folded");
    let rows = client.query(include_str!("names.sql"), &[]).await.expect("tables");
    let rows: Vec<(i32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(1, "tea".to_owned()), (2, "tea".to_owned())]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_from_an_earlier_event_on_waits_for_a_person() {
    let stage = Stage::new().await;
    let process = stage.process(&[&names()], &[]).await;
    let [first, twin] = [(); 2].map(|()| Uuid::now_v7());
    for (id, event) in [(first, "project.created"), (twin, "project.created"), (first, "project.deleted")] {
        stage.name(id, event, "tea").await;
    }
    stage.folded("names").await;
    let (read, log) = (stage.database.pool(), stage.database.reader());
    let (registry, config) = (support::registry(), stage.database.config(&[]));
    let mender = Mender { read: &read, log: &log, registry: &registry, limits: &config.projector };
    let stream = StreamId { stream_type: "project".into(), id: twin };
    mender.retry("names", &stream).await.expect("mended");
    // Both park the twin now, but a new one its first event too, whose row is served.
    stage.name(twin, "project.created", "pie").await;
    stage.folded("names").await;
    let waiting = stage.rebuild_names(Swap::Auto, State::Waiting).await;
    let found = waiting.difference().expect("a row would go");
    let parked = ParkedStream { stream_type: "project".into(), stream_id: twin, in_live: true, in_new: true };
    assert_eq!((found.parks_more, &found.parked), (true, &vec![parked]));

    // It is read also where it was stored under the names of before.
    let client = stage.database.client().await;
    let renamed = client.execute(include_str!("stored_before.sql"), &[&waiting.id]).await;
    assert_eq!(renamed.expect("a table"), 1);
    let stored = rebuild::get(&read, waiting.id).await.expect("known");
    assert_eq!((stored.difference(), found.parked_count), (Some(found), 1));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_version_heals_what_was_parked() {
    let stage = Stage::new().await;
    let old = stage.process(&[&names()], &[]).await;
    let [first, twin, third] = [(); 3].map(|()| Uuid::now_v7());
    for id in [first, twin, third] {
        stage.name(id, "project.created", "tea").await;
    }
    stage.name(third, "project.deleted", "").await;
    stage.folded("names").await;
    let pool = stage.database.pool();
    let parked = async || parked::list(&pool, "names", Position(0), 100).await.expect("listed").len();
    assert_eq!(parked().await, 3);
    old.stop().await;

    let mut files = names().files().clone();
    for (file, from, to) in
        [("projection.toml", "version = 1", "version = 2"), ("table.sql", "not null unique", "not null")]
    {
        let text = files[file].replace(from, to);
        files.insert(file.to_owned(), text);
    }
    let process = stage.process(&[&Folder::parse(files).expect("it loads")], &[]).await;
    until("the corrected version serves", async || stage.schema("names").await == "projection_names_2").await;
    assert_eq!(parked().await, 0);
    let names = async || -> BTreeMap<Uuid, String> {
        let rows = stage.rows("names").await;
        rows.iter().map(|(id, row)| (*id, row["name"].as_str().expect("a name").to_owned())).collect()
    };
    assert_eq!(names().await, BTreeMap::from([(first, "tea".to_owned()), (twin, "tea".to_owned())]));
    // Nothing waits behind what was healed.
    stage.name(twin, "project.deleted", "").await;
    stage.folded("names").await;
    assert_eq!(names().await, BTreeMap::from([(first, "tea".to_owned())]));
    process.stop().await;
}
