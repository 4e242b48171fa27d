//! The published document: what is checked in is what the program says, it holds together, and its examples work.

use std::{collections::BTreeSet, path::Path};

use annals::{
    api::{document, schema::Schemas},
    domain,
    projector::Folder,
    serve,
};
use serde_json::Value;

fn folders() -> Vec<Folder> {
    serve::folders(Path::new("projections")).expect("the folders load")
}

fn document() -> Value {
    document::of_program(&folders())
}

#[test]
fn what_is_checked_in_is_what_the_program_says() {
    let checked_in = std::fs::read_to_string("openapi.yaml").unwrap_or_default();
    assert!(
        checked_in == document::yaml(&folders()),
        "openapi.yaml is stale: run `annals openapi > openapi.yaml`"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, "$ref", &mut references);
    assert!(references.len() > 30);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
        assert!(!document.pointer(pointer).expect("there").is_null(), "{reference}");
    }
}

#[test]
fn every_operation_says_who_may_call_it_and_what_it_answers() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id.clone()), "{id} is taken");
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(!responses.contains_key("default"), "{id}");
            let secured = operation["security"].as_array().expect("security").len();
            assert_eq!(secured, usize::from(path.starts_with("/api/")), "{id}");
            if path.starts_with("/api/") {
                assert!(
                    ["401", "403", "500", "503"].iter().all(|status| responses.contains_key(*status)),
                    "{id}"
                );
                let may_be_missing = path.contains('{') || path.contains("/queries/");
                assert_eq!(may_be_missing, responses.contains_key("404"), "{id}");
            }
            for (status, response) in responses {
                assert!(response["description"].is_string() || response["$ref"].is_string(), "{id} {status}");
            }
        }
    }
}

#[test]
fn every_command_has_a_schema_and_every_example_satisfies_it() {
    let document = document();
    let published = document["components"]["schemas"].as_object().expect("schemas");
    let registry = domain::registry();
    let schemas = Schemas::of(&document);
    let commands = registry.aggregates().flat_map(|aggregate| aggregate.commands());
    // Those without a schema are sent by the program itself.
    for command in commands.filter(|command| !command.schema.is_empty()) {
        let Some(schema) = published.get(command.schema) else {
            assert_eq!(command.name, "project.delete", "only a command without a body has no schema");
            continue;
        };
        let Some(example) = schema.get("example") else {
            assert!(schema.get("required").is_none(), "{} needs an example", command.schema);
            continue;
        };
        let mut body = example.clone();
        assert_eq!(schemas.validate(command.schema, &mut body), [], "{}", command.schema);
        let (aggregate, _) = registry.command(command.name).expect("known");
        assert_eq!(aggregate.check(command.name, &body), [], "{}", command.name);
    }
}

#[test]
fn read_models_whose_names_meet_keep_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["top10", "top_10"] {
        let copy = dir.path().join(name);
        std::fs::create_dir_all(copy.join("on")).expect("made");
        for (path, text) in Folder::load(Path::new("projections/counters")).expect("it loads").files() {
            let text = text.replace("counters", name);
            std::fs::write(copy.join(path), text).expect("written");
        }
    }
    let folders = serve::folders(dir.path()).expect("the folders load");
    let document = document::of_program(&folders);
    let paths = document["paths"].as_object().expect("paths");
    let ids: Vec<_> = paths.values().map(|path| path["get"]["operationId"].as_str()).collect();
    for id in ["listTop10Rows", "listTop_10Rows", "getTop10Row", "getTop_10Row"] {
        assert_eq!(ids.iter().filter(|other| **other == Some(id)).count(), 1, "{id}");
    }
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    assert!(schemas.contains_key("Top10Row") && schemas.contains_key("Top_10Row"));
}

#[test]
fn money_keeps_its_bounds_to_the_digit() {
    let yaml = document::yaml(&folders());
    assert!(yaml.contains("maximum: 99999999999999.99\n"));
    assert!(yaml.contains("multipleOf: 0.01\n"));
}

#[test]
fn every_text_and_number_that_is_taken_has_a_bound() {
    let document = document();
    let registry = domain::registry();
    let taken =
        registry.aggregates().flat_map(|aggregate| aggregate.commands()).map(|command| command.schema);
    for schema in taken.chain(["OrderItem", "CreateKey", "RequestRebuild"]) {
        let properties = &document["components"]["schemas"][schema]["properties"];
        for (name, property) in properties.as_object().into_iter().flatten() {
            let bound = match property["type"].as_str() {
                Some("string") => "maxLength",
                Some("array") => "maxItems",
                Some("number" | "integer") => "maximum",
                Some("boolean") => continue,
                other => panic!("{schema}.{name} is {other:?}"),
            };
            assert!(property.get(bound).is_some(), "{schema}.{name} has no {bound}");
        }
    }
}

fn collect(value: &Value, member: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get(member).and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| collect(value, member, into));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, member, into)),
        _ => {}
    }
}
