//! The domain of docs/add-a-domain.md: the page shows exactly these files, and they work: a command, its events, a row.
//! Its routes and its own tests are compiled within the crate (`src/domain.rs`), where a domain stands.

#![allow(unreachable_pub, reason = "within the crate what a domain shows is reachable")]

#[path = "projector/stage.rs"]
#[allow(dead_code, reason = "the projectors' tests use the rest")]
mod stage;
mod support;

use std::{fs, path::Path};

// A domain says `crate::aggregate`.
use annals::aggregate;
use annals::{
    aggregate::{Aggregate, Registry, RejectionKind, erase},
    json::RawJson,
    projector::Folder,
};
use jsonschema::Draft;
use serde_json::{Value, json};
use stage::Stage;
use support::{Told, request};
use uuid::Uuid;

// The domain without its routes.
#[path = "add_a_domain/notes/commands.rs"]
mod commands;
#[path = "add_a_domain/notes/events.rs"]
mod events;
#[path = "add_a_domain/notes/aggregate.rs"]
mod note;
#[path = "add_a_domain/notes/schemas.rs"]
mod schemas;

const FOLDER: &str = "tests/add_a_domain";

fn registry() -> Registry {
    Registry::new(vec![erase::<note::Note>()])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_s_domain_takes_commands_and_is_read() {
    let mut stage = Stage::new().await;
    stage.registry = registry;
    let commands = stage.database.commands_of(registry(), &[]).await;
    let execute = |name: &'static str, id: Option<Uuid>, body| commands.execute(request(name, id, body));
    let written = execute("note.write", None, json!({"text": " Buy tea. "})).await.expect("answered");
    let id = written.stream.id;
    assert_eq!(support::done(&written), format!(r#"{{"id":"{id}","version":1}}"#));
    execute("note.archive", Some(id), json!({})).await.expect("answered").result().expect("archived");
    let again = execute("note.archive", Some(id), json!({})).await.expect("answered");
    assert_eq!(again.result().expect_err("archived already").kind, RejectionKind::Rule);
    let events = stage.database.events().await;
    assert!(events.iter().map(|event| &*event.event_type).eq(["note.written", "note.archived"]));

    let folder = Folder::load(&Path::new(FOLDER).join("projections/notes")).expect("it loads");
    let process = stage.process(&[&folder], &[]).await;
    stage.folded("notes").await;
    let row = json!({"id": id, "text": "Buy tea.", "archived": true, "version": 2});
    assert_eq!(stage.rows("notes").await[&id], row);
    process.stop().await;
}

#[test]
fn the_page_s_samples_are_as_its_schemas_say() {
    let aggregate = registry();
    let aggregate = aggregate.aggregates().next().expect("the notes");
    for schema in note::Note::SCHEMAS {
        let name = format!("{}.v{}", schema.event_type, schema.version);
        let sample = fs::read_to_string(format!("{FOLDER}/samples/{name}.json")).expect("a sample");
        let (described, data): (Value, Value) =
            (schema.json.parse().expect("JSON"), sample.parse().expect("JSON"));
        let described = jsonschema::options().with_draft(Draft::Draft7).build(&described).expect("a schema");
        assert!(described.is_valid(&data), "{name}");
        let data = RawJson::trusted(sample.trim());
        let mut history = [(schema.event_type, schema.version, &data)].into_iter();
        aggregate.fold(&aggregate.initial(), &mut history).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_page_shows_the_files_as_they_are() {
    let page = fs::read_to_string("docs/add-a-domain.md").expect("the page");
    let mut folders = vec![Path::new(FOLDER).to_owned()];
    let mut shown = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let language = match path.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => "rust",
                Some(other) => other,
                None => panic!("{} has no extension", path.display()),
            };
            let text = fs::read_to_string(&path).expect("text");
            let block = format!("```{language}\n{text}```\n");
            assert!(page.contains(&block), "docs/add-a-domain.md does not show {} as it is", path.display());
            shown += 1;
        }
    }
    assert_eq!(shown, 15);
}
