//! Keys over HTTP: listed, made, revoked.

use chrono::{DateTime, Utc};
use poem::{Body, Request, Response, handler, http::StatusCode};
use poem_openapi::OperationId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{act, answered, core, valid};
use crate::{
    aggregate::Violation,
    api::{
        auth::{
            self,
            keys::{self, Key},
        },
        problem::{Fault, Problem},
    },
};

#[handler]
pub(super) async fn list(request: &Request) -> poem::Result<Response> {
    let keys = all(request).await?;
    let items: Vec<_> = keys.iter().map(shown).collect();
    Ok(answered("listKeys", &json!({"items": items, "next": null})))
}

#[handler]
pub(super) async fn create(request: &Request, body: Body) -> poem::Result<Response> {
    let mut body = valid(request, body, "CreateKey").await?;
    check(&body)?;
    if let Some(roles) = body["roles"].as_array_mut() {
        roles.sort_by_key(Value::to_string);
        roles.dedup();
    }
    let secret = keys::generate();
    body["key_hash"] = hex(&keys::hash(&secret)).into();
    let id = act(request, "admin.create-key", None, body).await?;
    let key = all(request).await?.into_iter().find(|key| key.id == id);
    let mut made = shown(&key.ok_or_else(|| Problem::internal(&"a key that was made is not there"))?);
    made["key"] = secret.into();
    let mut response = answered("createKey", &made);
    response.set_status(StatusCode::CREATED);
    Ok(response)
}

#[handler]
pub(super) async fn revoke(request: &Request) -> poem::Result<Response> {
    let absent = || Problem::not_found("There is no such key that still works.");
    let id: Uuid = request.path_params().map_err(|_| absent())?;
    let works = all(request).await?.iter().any(|key| key.id == id && key.revoked_at.is_none());
    if !works {
        return Err(absent().into());
    }
    act(request, "admin.revoke-key", Some(id), json!({})).await?;
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    response.set_data(OperationId("revokeKey"));
    Ok(response)
}

async fn all(request: &Request) -> Result<Vec<Key>, Problem> {
    keys::list(core(request).admin.writer()).await.map_err(|error| match error {
        auth::Error::Database(error) => error.into(),
        error => Problem::internal(&error),
    })
}

/// What the schema cannot say.
fn check(body: &Value) -> Result<(), Problem> {
    let mut faults = Vec::new();
    if body["name"].as_str().is_some_and(|name| name.chars().any(char::is_control)) {
        faults.push(Violation::at("/name", "must not hold control characters"));
    }
    if let Some(text) = body["expires_at"].as_str() {
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) if time.to_utc() > Utc::now() => {}
            Ok(_) => faults.push(Violation::at("/expires_at", "must be in the future")),
            Err(_) => faults.push(Violation::at("/expires_at", "must be a time (RFC 3339)")),
        }
    }
    let faults: Vec<_> = faults.into_iter().map(Fault::Body).collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

fn shown(key: &Key) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "roles": key.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
