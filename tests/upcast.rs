//! Events of older versions: read by aggregates and projections as if they were new, left in topics as they were; and
//! samples of every version ever written, which decode for ever.

#[path = "upcast/lamp.rs"]
mod lamp;
#[path = "upcast/old_lamp.rs"]
mod old_lamp;
#[allow(dead_code, reason = "the projectors' tests use the rest")]
#[path = "projector/stage.rs"]
mod stage;
mod support;

use std::{collections::BTreeSet, fs, path::Path};

use annals::{
    aggregate::{DecodeError, Registry, RejectionKind, erase},
    command::Error,
    json::RawJson,
    log::{Append, Expected, Version},
    projector::{Folder, Status},
    rebuild,
};
use lamp::Lamp;
use old_lamp::OldLamp;
use serde_json::{Value, json};
use stage::Stage;
use support::{Told, append_to, done, kafka_brokers, registry, request, topic, until};
use uuid::Uuid;

fn lamps() -> Registry {
    Registry::new(vec![erase::<Lamp>()])
}

/// A history that was written by three versions of the program.
fn switched(id: Uuid, events: &[(i32, &str)]) -> Append {
    let data: Vec<_> = events.iter().map(|(_, data)| ("lamp.switched", *data)).collect();
    let mut append = append_to(id, Expected::NoStream, &data);
    for (event, (version, _)) in append.events.iter_mut().zip(events) {
        event.schema_version = *version;
    }
    append
}

async fn stage() -> Stage {
    let mut stage = Stage::new().await;
    stage.registry = lamps;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_decided_on_events_of_any_version() {
    let stage = stage().await;
    let [first, second, off] = [(); 3].map(|()| Uuid::now_v7());
    stage.append(switched(first, &[(1, r#"{"on":true}"#)])).await;
    let chain = [(1, r#"{"on":false}"#), (2, r#"{"state":"on"}"#), (3, r#"{"state":"on","brightness":70}"#)];
    stage.append(switched(second, &chain)).await;
    stage.append(switched(off, &[(1, r#"{"on":false}"#)])).await;
    let commands = stage.database.commands_of(lamps(), &[]).await;
    let brighten = |id| commands.execute(request("lamp.brighten", Some(id), json!({})));
    let answer = brighten(first).await.expect("answered");
    assert_eq!((done(&answer), answer.version), (r#"{"brightness":11}"#.to_owned(), Version(2)));
    assert_eq!(done(&brighten(second).await.expect("answered")), r#"{"brightness":71}"#);
    let rejection = brighten(off).await.expect("answered").result().expect_err("it is off");
    assert_eq!(rejection.kind, RejectionKind::Rule);
    let written = stage.database.events().await.pop().expect("events");
    assert_eq!(written.schema_version, 3, "new events have the newest version");
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_read_any_version_and_topics_keep_what_was_written() {
    let stage = stage().await;
    let lamps = Folder::load(Path::new("tests/upcast/lamps")).expect("it loads");
    let id = Uuid::now_v7();
    stage.append(switched(id, &[(1, r#"{"on":false}"#), (1, r#"{"on":true}"#)])).await;
    let process = stage.process(&[&lamps], &[]).await;
    stage.folded("lamps").await;
    let row = || async { stage.rows("lamps").await[&id].clone() };
    assert_eq!((&row().await["state"], &row().await["brightness"]), (&json!("on"), &json!(10)));
    process.stop().await;

    let _relay = stage.relay().await;
    let topic = format!("{}.lamp", stage.prefix);
    until("the relay has sent them", || async { topic::read(&kafka_brokers(), &topic).len() == 2 }).await;
    let records = topic::read(&kafka_brokers(), &topic);
    assert_eq!((records[1].number("ce_schemaversion"), &*records[1].value), (1, r#"{"on": true}"#));
    stage.forget("lamps").await;
    let process = stage.kafka_process(&[&lamps], &[]).await;
    stage.folded("lamps").await;
    assert_eq!((&row().await["state"], &row().await["brightness"]), (&json!("on"), &json!(10)));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_wrote_stops_the_reader() {
    let stage = stage().await;
    let [newer, unknown, malformed] = [(); 3].map(|()| Uuid::now_v7());
    stage.append(switched(newer, &[(3, r#"{"state":"on","brightness":1}"#), (4, "{}")])).await;
    stage.append(append_to(unknown, Expected::NoStream, &[("lamp.exploded", "{}")])).await;
    stage.append(switched(malformed, &[(2, r#"{"state":7}"#)])).await;
    let commands = stage.database.commands_of(lamps(), &[]).await;
    let unreadable = |id| {
        let execution = commands.execute(request("lamp.brighten", Some(id), json!({})));
        async {
            match execution.await.expect_err("not decided on half a history") {
                Error::Unreadable(error) => error,
                other => panic!("{other:?}"),
            }
        }
    };
    let error = unreadable(newer).await;
    assert!(matches!(error, DecodeError::Newer { schema_version: 4, known: 3, .. }), "{error}");
    assert!(error.to_string().contains("a newer one wrote it"));
    assert!(
        matches!(unreadable(unknown).await, DecodeError::Unknown { event_type } if event_type == "lamp.exploded")
    );
    assert!(matches!(unreadable(malformed).await, DecodeError::Malformed { .. }));
    assert_eq!(stage.database.events().await.len(), 4, "nothing was appended");
    let lamps = Folder::load(Path::new("tests/upcast/lamps")).expect("it loads");
    let process = stage.process(&[&lamps], &[]).await;
    let reason = process.stands_still("lamps").await;
    assert!(reason.contains("schema version 4") && reason.contains("up to 3"), "{reason}");
    process.stop().await;
}

#[test]
fn every_version_of_every_event_has_a_sample_that_decodes() {
    let registry = registry();
    let mut wanted = BTreeSet::new();
    for aggregate in registry.aggregates() {
        for event in aggregate.events() {
            for version in 1..=event.schema_version {
                let name = format!("{}.v{version}.json", event.name);
                let sample =
                    fs::read_to_string(Path::new("tests/samples").join(&name)).unwrap_or_else(|_| {
                        panic!("tests/samples/{name} is missing: record what this version looks like")
                    });
                let valid: Value = sample.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(valid.is_object(), "{name}");
                let data = RawJson::trusted(sample.trim());
                let mut history = [(event.name, version, &data)].into_iter();
                aggregate
                    .fold(&aggregate.initial(), &mut history)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                wanted.insert(name);
            }
        }
    }
    let recorded: BTreeSet<_> = fs::read_dir("tests/samples")
        .expect("samples")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(recorded, wanted, "a version that was ever written stays readable");
}

/// What knew the lamp's first version alone.
fn old_lamps() -> Registry {
    Registry::new(vec![erase::<OldLamp>()])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_leaves_what_is_made_for_newer_events_to_newer_ones() {
    let mut stage = stage().await;
    let lamps = Folder::load(Path::new("tests/upcast/lamps")).expect("it loads");
    let mut files = lamps.files().clone();
    let newer = files["projection.toml"].replace("version = 1", "version = 2");
    files.insert("projection.toml".into(), newer);
    let newer = Folder::parse(files).expect("it loads");
    let id = Uuid::now_v7();
    stage.append(switched(id, &[(1, r#"{"on":true}"#)])).await;
    let current = stage.process(&[&lamps], &[]).await;
    stage.folded("lamps").await;
    current.stop().await;
    // Versions side by side: the older program finds a read model and a rebuild of the newer one's.
    stage.registry = old_lamps;
    let old = stage.process(&[&lamps], &[]).await;
    let reason = old.stands_still("lamps").await;
    assert!(reason.contains("in a newer form than this program knows"), "{reason}");
    stage.append(switched(Uuid::now_v7(), &[(1, r#"{"on":true}"#)])).await;
    let pool = stage.database.pool();
    let options = rebuild::Options::default();
    let begun = rebuild::start(&pool, Uuid::now_v7(), "lamps", Some((&newer, &self::lamps())), options).await;
    let begun = begun.expect("it begins").id;
    let carried = || async { rebuild::get(&pool, begun).await.expect("known") };
    let client = stage.database.client().await;
    let claim = |known| {
        let (client, id) = (&client, Uuid::now_v7());
        async move {
            client.query(include_str!("../src/rebuild/claim.sql"), &[&id, &0.0, &known]).await.expect("asked")
        }
    };
    assert!(claim(json!({"lamp.switched": 2})).await.is_empty() && !carried().await.is_carried());
    stage.registry = self::lamps;
    let current = stage.process(&[&newer], &[]).await;
    until("it is done", || async { carried().await.state == rebuild::State::Done }).await;
    stage.folded("lamps").await;
    let rows = stage.rows("lamps").await;
    assert_eq!(rows.len(), 2);
    assert!(rows.values().all(|row| row["state"] == "on" && row["brightness"] == 10), "{rows:?}");
    assert!(matches!(old.status("lamps"), Status::Waiting { .. }));
    current.stop().await;
    old.stop().await;
}

/// A folder for programs that know the first version of the event and for those that know the third.
fn for_both() -> Folder {
    let mut files = Folder::load(Path::new("tests/upcast/lamps")).expect("it loads").files().clone();
    let parking = files["projection.toml"].replace(r#"on_error = "stop""#, r#"on_error = "park""#);
    files.insert("projection.toml".into(), parking);
    files.insert("on/lamp.switched.sql".into(), include_str!("upcast/both_forms.sql").into());
    Folder::parse(files).expect("it loads")
}

async fn process(stage: &Stage, over_kafka: bool, folder: &Folder) -> stage::Process {
    match over_kafka {
        true => stage.kafka_process(&[folder], &[]).await,
        false => stage.process(&[folder], &[]).await,
    }
}

/// What became of the lamps' events: applied, ignored, parked.
async fn standing(stage: &Stage) -> [i64; 3] {
    let client = stage.database.client().await;
    let row = client.query_one(include_str!("projector/standing.sql"), &[&"lamps"]).await.expect("a row");
    [0, 1, 2].map(|column| row.get(column))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_sets_nothing_apart_that_a_newer_one_beside_it_can_read() {
    for over_kafka in [false, true] {
        let (mut stage, folder) = (stage().await, for_both());
        let _relay = stage.relay().await;
        stage.registry = old_lamps;
        let old = process(&stage, over_kafka, &folder).await;
        let ids = [(); 8].map(|()| Uuid::now_v7());
        for id in ids {
            stage.append(switched(id, &[(1, r#"{"on":true}"#)])).await;
        }
        stage.folded("lamps").await;
        let mut newer = switched(ids[0], &[(3, r#"{"state":"on","brightness":70}"#)]);
        newer.expected = Expected::Any;
        stage.append(newer).await;
        let reason = old.stands_still("lamps").await;
        assert!(reason.contains("schema version 3") && reason.contains("up to 1"), "{reason}");
        assert!(matches!(old.status("lamps"), Status::Waiting { .. }));
        assert_eq!(standing(&stage).await, [8, 0, 0], "over Kafka: {over_kafka}");

        stage.registry = lamps;
        let new = process(&stage, over_kafka, &folder).await;
        for id in &ids[1..] {
            let mut off = switched(*id, &[(1, r#"{"on":false}"#)]);
            off.expected = Expected::Any;
            stage.append(off).await;
        }
        until("the newer one works", async || new.status("lamps") == Status::Running).await;
        old.stop().await;
        stage.folded("lamps").await;
        let rows = stage.rows("lamps").await;
        let seen = |id: &Uuid| ["state", "brightness", "version"].map(|column| rows[id][column].clone());
        assert_eq!(seen(&ids[0]), [json!("on"), json!(70), json!(2)]);
        assert!(ids[1..].iter().all(|id| seen(id) == [json!("off"), json!(10), json!(2)]), "{rows:?}");
        assert_eq!(standing(&stage).await, [16, 0, 0], "over Kafka: {over_kafka}");
        new.stop().await;
    }
}
