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
    aggregate::{Registry, RejectionKind, erase},
    projector::Folder,
};
use serde_json::json;
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
    assert_eq!(shown, 10);
}
