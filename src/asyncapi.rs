//! The AsyncAPI document: topics, keys, headers, and the data of each event in every version.
//!
//! Built from what the domains say of their events; what holds for all records is written once in `asyncapi/common.json`. The
//! topics of commands and replies are left out: what they carry is described by openapi.yaml.

use serde_json::{Map, Value, json};

use crate::{
    aggregate::{AnyAggregate, EventSchema, Registry},
    api::document::yaml::write,
    kafka,
};

/// In which order the members at the top are written.
const TOP: [&str; 7] =
    ["asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"];

/// The document of a program with these aggregates.
pub fn document(registry: &Registry) -> Value {
    let mut document = parse(include_str!("asyncapi/common.json"));
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["info"]["description"] = include_str!("asyncapi/description.md").into();
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for aggregate in registry.aggregates() {
        let name = aggregate.stream_type();
        channels.insert(name.into(), channel(aggregate));
        let operation = json!({
            "action": "send",
            "channel": { "$ref": format!("#/channels/{name}") },
            "summary": format!("Each event of a stream of type {name}, in order."),
        });
        operations.insert(format!("{name}-events"), operation);
        messages.extend(aggregate.schemas().iter().map(|schema| (id(schema), message(schema))));
    }
    document["channels"] = channels.into();
    document["operations"] = operations.into();
    document["components"]["messages"] = messages.into();
    document
}

/// As YAML, as `annals asyncapi` prints it.
pub fn yaml(registry: &Registry) -> String {
    write(&document(registry), &TOP)
}

fn channel(aggregate: &dyn AnyAggregate) -> Value {
    let reference = |schema| (id(schema), json!({ "$ref": format!("#/components/messages/{}", id(schema)) }));
    json!({
        "address": kafka::topic("{prefix}", aggregate.stream_type()),
        "parameters": { "prefix": { "$ref": "#/components/parameters/prefix" } },
        "messages": aggregate.schemas().iter().map(reference).collect::<Map<_, _>>(),
    })
}

fn message(schema: &EventSchema) -> Value {
    let own = json!({
        "ce_type": { "const": schema.event_type },
        "ce_schemaversion": { "const": schema.version.to_string() },
    });
    json!({
        "name": schema.event_type,
        "title": format!("{}, schema version {}", schema.event_type, schema.version),
        "contentType": "application/json",
        "headers": { "allOf": [{ "$ref": "#/components/schemas/headers" }, { "type": "object", "properties": own }] },
        "payload": parse(schema.json),
        "bindings": { "kafka": { "key": { "$ref": "#/components/schemas/key" }, "bindingVersion": "0.5.0" } },
    })
}

fn id(schema: &EventSchema) -> String {
    format!("{}.v{}", schema.event_type, schema.version)
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("what is compiled in is JSON: a test reads all of it")
}
