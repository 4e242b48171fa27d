//! The document for consumers of the topics: what is checked in is what the program says, and records are as it says.

mod support;

use std::{collections::BTreeSet, fs};

use annals::{
    asyncapi,
    json::RawJson,
    kafka,
    log::{Event, Metadata, Position, Version},
};
use chrono::DateTime;
use jsonschema::Draft;
use rdkafka::message::Headers;
use serde_json::Value;
use support::registry;
use uuid::Uuid;

fn document() -> Value {
    asyncapi::document(&registry())
}

#[test]
fn what_is_checked_in_is_what_the_program_says() {
    let checked_in = fs::read_to_string("asyncapi.yaml").unwrap_or_default();
    let said = asyncapi::yaml(&registry());
    assert!(checked_in == said, "asyncapi.yaml is stale: run `annals asyncapi > asyncapi.yaml`");
}

#[test]
fn every_version_of_every_event_is_described_and_its_sample_is_as_described() {
    let document = document();
    for aggregate in registry().aggregates() {
        for event in aggregate.events() {
            for version in 1..=event.schema_version {
                let name = format!("{}.v{version}", event.name);
                let message = &document["components"]["messages"][&name];
                assert!(message.is_object(), "{name} has no schema");
                let channel = &document["channels"][aggregate.stream_type()];
                assert!(channel["messages"][&name].is_object(), "{name} is in no topic");
                let sample = fs::read_to_string(format!("tests/samples/{name}.json")).expect("a sample");
                let schema = jsonschema::options()
                    .with_draft(Draft::Draft7)
                    .build(&message["payload"])
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let sample: Value = sample.parse().expect("JSON");
                let faults: Vec<_> = schema.iter_errors(&sample).map(|error| error.to_string()).collect();
                assert!(faults.is_empty(), "{name}: {faults:?}");
                assert!(
                    told(&message["payload"]).is_superset(&told_of(&sample)),
                    "{name} tells of all members"
                );
            }
        }
        let described: usize = aggregate.events().iter().map(|event| event.schema_version as usize).sum();
        assert_eq!(aggregate.schemas().len(), described, "{}", aggregate.stream_type());
    }
}

#[test]
fn the_headers_are_those_of_a_record() {
    let schema = &document()["components"]["schemas"]["headers"];
    let event = Event {
        position: Position(7),
        stream_type: "order".into(),
        stream_id: Uuid::nil(),
        version: Version(1),
        event_id: Uuid::nil(),
        event_type: "order.created".into(),
        schema_version: 1,
        data: RawJson::trusted("{}"),
        metadata: RawJson::trusted("{}"),
        recorded_at: DateTime::UNIX_EPOCH,
    };
    let metadata = |id: Option<Uuid>| Metadata {
        actor: "a".into(),
        command_id: Uuid::nil(),
        correlation_id: "c".into(),
        causation_id: id,
        traceparent: id.map(|id| id.to_string()),
    };
    let names = |id| -> BTreeSet<String> {
        let headers = kafka::headers(&event, &metadata(id), "urn:uuid:x", Position(0));
        headers.iter().map(|header| header.key.to_owned()).collect()
    };
    let required = schema["required"].as_array().expect("required").iter();
    assert_eq!(names(None), required.map(|name| name.as_str().expect("a name").to_owned()).collect());
    assert_eq!(names(Some(Uuid::nil())), told(schema));
}

fn told(schema: &Value) -> BTreeSet<String> {
    told_of(&schema["properties"])
}

fn told_of(object: &Value) -> BTreeSet<String> {
    object.as_object().expect("an object").keys().cloned().collect()
}
