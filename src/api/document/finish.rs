//! What the framework's document lacks, added as a pure function of it.

use serde_json::{Map, Value, json};

use super::read_models;
use crate::{
    api::{auth::Role, money},
    projector::Folder,
};

/// What holds for many operations alike: parameters, headers, problem answers, schemes, and the open routes.
const COMMON: &str = include_str!("common.json");
/// Routes that no macro makes.
const AUDIT: &str = include_str!("audit.json");
const ADMIN: &str = include_str!("admin.json");

/// Finishes the framework's document and adds these read models to it.
pub fn finish(mut document: Value, folders: &[Folder]) -> Value {
    merge(&mut document, read_models::of(folders));
    for more in [ADMIN, AUDIT, COMMON] {
        merge(&mut document, serde_json::from_str(more).expect("it is JSON, as the tests see"));
    }
    let reads_nothing = |document: &Value, schema: &Value| {
        let pointer = schema["$ref"].as_str().unwrap_or_default().trim_start_matches('#');
        document.pointer(pointer).is_some_and(|schema| schema.get("required").is_none())
    };
    let snapshot = document.clone();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            finish_operation(path, operation);
            if let Some(body) = operation.get_mut("requestBody") {
                let schema = &body["content"]["application/json"]["schema"];
                body["required"] = (!reads_nothing(&snapshot, schema)).into();
            }
        }
    }
    tidy(&mut document);
    document
}

/// Adds who may call it, the headers of its kind and the problems it can answer with.
fn finish_operation(path: &str, operation: &mut Value) {
    let role = Role::of_path(path);
    operation["security"] = role.map_or(json!([]), |role| json!([{role.as_str(): []}]));
    let who = role.map_or("Open to all.".to_owned(), |role| format!("For keys with the role {role}."));
    operation["description"] = match operation["description"].as_str() {
        Some(description) => format!("{description}\n\n{who}").into(),
        None => who.into(),
    };
    if role.is_none() {
        return;
    }
    let has_id = path.contains('{');
    let has_body = operation.get("requestBody").is_some();
    let is_command = answers_with(operation, "Consistency-Token");
    let is_read = answers_with(operation, "Annals-Generation");
    let is_list = is_read && answers_with(operation, "Link");
    let is_audit = role == Some(Role::Auditor);
    let is_action = role == Some(Role::Admin) && (has_body || operation["responses"].get("202").is_some());

    let mut parameters = vec!["CorrelationId"];
    let mut statuses = vec![401, 403, 414, 429, 431, 500, 503];
    // A named query may be one of a generation that does not serve yet.
    if has_id || path.contains("/queries/") {
        statuses.push(404);
    }
    if has_body {
        statuses.extend([400, 408, 413, 415, 422]);
    }
    if is_command {
        parameters.extend(["IdempotencyKey", "PreferAsync", "Traceparent", "IfMatch"]);
        statuses.extend([409, 412, 422]);
    }
    if is_read {
        parameters.extend(["ConsistencyToken", "ConsistencyTokenInQuery", "PreferWait"]);
        statuses.push(400);
        if !has_id {
            statuses.push(422);
        }
    }
    if is_action || operation["responses"].get("409").is_some() {
        statuses.push(409);
    }
    if is_audit && !has_body {
        parameters.extend(["ConsistencyToken", "ConsistencyTokenInQuery"]);
        statuses.extend([400, 422]);
    }
    if is_list {
        parameters.extend(["Limit", "Sort", "Cursor"]);
    }
    refer_to_headers(operation);
    let own = operation["parameters"].as_array().cloned().unwrap_or_default();
    let common = parameters.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
    operation["parameters"] = own.into_iter().chain(common).collect();
    for status in statuses {
        operation["responses"][status.to_string()] =
            json!({"$ref": format!("#/components/responses/Problem{status}")});
    }
}

/// Whether its success carries this header, which tells commands and reads apart.
fn answers_with(operation: &Value, header: &str) -> bool {
    let responses = operation["responses"].as_object().into_iter().flatten();
    responses.into_iter().any(|(_, response)| response["headers"].get(header).is_some())
}

/// Headers are explained once, in the components.
fn refer_to_headers(operation: &mut Value) {
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) else {
            continue;
        };
        headers.insert("X-Correlation-Id".into(), Value::Null);
        for (name, header) in headers {
            *header = json!({"$ref": format!("#/components/headers/{name}")});
        }
    }
}

/// Adds the members of `more`, deeply; lists are joined.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, member) in more {
                merge(into.entry(name).or_insert(Value::Null), member);
            }
        }
        (Value::Array(into), Value::Array(more)) => into.extend(more),
        (into, more) => *into = more,
    }
}

/// What the framework writes oddly: whole numbers with a point, titles that repeat the name, examples' nulls; and the
/// bounds of money, which it cannot write.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("format").is_some_and(|format| format == money::FORMAT) {
                members.entry("minimum").or_insert(json!(0));
                members.insert("maximum".into(), exact("99999999999999.99"));
                members.insert("multipleOf".into(), exact("0.01"));
            }
            if members.get("type").is_some_and(|kind| kind == "object") {
                members.remove("title");
            }
            drop_unset(members);
            members.retain(|name, member| {
                !(name == "deprecated" && member == false || name == "explode" && member == true)
            });
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(whole) = text.strip_suffix(".0").and_then(|whole| whole.parse::<i64>().ok()) {
                *number = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// An example leaves out what it does not set: the framework writes null, which is a value only where the schema says so.
fn drop_unset(schema: &mut Map<String, Value>) {
    let properties = schema.get("properties").cloned().unwrap_or_default();
    if let Some(Value::Object(example)) = schema.get_mut("example") {
        example.retain(|name, value| !value.is_null() || properties[name]["nullable"] == true);
    }
}

fn exact(number: &str) -> Value {
    serde_json::from_str(number).expect("a JSON number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(path: &str, operation: Value) -> Value {
        let mut paths = json!({"paths": {}, "components": {"schemas": {"Body": {"type": "object"}}}});
        paths["paths"][path] = json!({"post": operation});
        finish(paths, &[])["paths"][path]["post"].take()
    }

    fn statuses(operation: &Value) -> Vec<&str> {
        operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn a_command_lists_what_it_can_answer() {
        let command = json!({
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}},
            "responses": {"200": {"headers": {"Consistency-Token": {}}}},
        });
        let finished = operation("/api/things/{id}", command);
        let expected = [
            "200", "400", "401", "403", "404", "408", "409", "412", "413", "414", "415", "422", "429", "431",
            "500", "503",
        ];
        assert_eq!(statuses(&finished), expected);
        assert_eq!(finished["security"], json!([{"consumer": []}]));
        assert_eq!(finished["requestBody"]["required"], false);
    }

    #[test]
    fn an_open_route_asks_for_nothing() {
        let finished = operation("/health/live", json!({"responses": {"200": {}}}));
        assert_eq!(finished["security"], json!([]));
        assert_eq!(statuses(&finished), ["200"]);
    }
}
