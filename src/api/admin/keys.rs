//! Keys over HTTP: listed, made, revoked.

use chrono::DateTime;
use poem::{Body, IntoResponse, Request, Response, handler, http::StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{asker, core, valid};
use crate::{
    aggregate::Violation,
    api::{
        answer,
        auth::{
            self,
            keys::{self, Key, Made, Wanted},
        },
        headers,
        parameters::Parameters,
        problem::{Fault, Problem},
        reply::IDEMPOTENCY_REPLAYED,
    },
    json::RawJson,
    page::Page,
};

#[handler]
pub(super) async fn list(request: &Request) -> poem::Result<Response> {
    let mut parameters = Parameters::of(request).await?;
    let (after, limit) = (parameters.cursor()?, parameters.limit());
    parameters.finish()?;
    let found = keys::list(core(request).admin.writer(), after, limit + 1).await.map_err(Problem::from)?;
    let keys = found.iter().map(|key| (key.id, RawJson::of(&shown(key))));
    Ok(answer::list(request, "listKeys", &Page::cut(keys, limit), Uuid::to_string))
}

#[handler]
pub(super) async fn create(request: &Request, body: Body) -> poem::Result<Response> {
    let idempotency_key = headers::idempotency_key(request.headers());
    let body = valid(request, body, "CreateKey").await?;
    let wanted = wanted(&body);
    let (idempotency_key, wanted) = match (idempotency_key, wanted) {
        (Ok(key), Ok(wanted)) => (key, wanted),
        (key, wanted) => {
            let faults = wanted.err().into_iter().flatten().map(Fault::Body);
            let faults = key.err().into_iter().chain(faults);
            return Err(Problem::invalid(faults.collect()).into());
        }
    };
    let made = keys::create(&core(request).admin, &asker(request), idempotency_key, wanted).await;
    let Made { key, secret } = made.map_err(Problem::from)?;
    let mut told = shown(&key);
    let mut response = match secret {
        Some(secret) => {
            told["key"] = secret.expose_secret().into();
            answer::one("createKey", &told)
        }
        None => answer::one("createKey", &told).with_header(IDEMPOTENCY_REPLAYED, "true").into_response(),
    };
    response.set_status(StatusCode::CREATED);
    Ok(response)
}

#[handler]
pub(super) async fn revoke(request: &Request) -> poem::Result<Response> {
    let absent = || Problem::not_found("There is no such key that still works.");
    let id: Uuid = request.path_params().map_err(|_| absent())?;
    if !keys::revoke(&core(request).admin, &asker(request), id).await.map_err(Problem::from)? {
        return Err(absent().into());
    }
    Ok(answer::named("revokeKey", StatusCode::NO_CONTENT))
}

/// What a body that satisfies the schema asks for, or what the schema cannot say is wrong with it.
fn wanted(body: &Value) -> Result<Wanted, Vec<Violation>> {
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    let roles = body["roles"].as_array().into_iter().flatten();
    let roles = roles.filter_map(|role| role.as_str()?.parse().ok()).collect();
    let expires_at = body["expires_at"].as_str().map(DateTime::parse_from_rfc3339).transpose();
    let odd_time = expires_at.is_err().then(|| Violation::at("/expires_at", "must be a time (RFC 3339)"));
    let expires_at = expires_at.ok().flatten().map(|time| time.to_utc());
    let wanted = Wanted { name, roles, expires_at };
    let faults: Vec<_> = wanted.faults().into_iter().chain(odd_time).collect();
    if faults.is_empty() { Ok(wanted) } else { Err(faults) }
}

impl From<auth::Error> for Problem {
    fn from(error: auth::Error) -> Self {
        match error {
            auth::Error::Admin(error) => error.into(),
            auth::Error::Database(error) => error.into(),
            auth::Error::Unfit(faults) => Self::invalid(faults.into_iter().map(Fault::Body).collect()),
            error @ auth::Error::Lost(_) => Self::internal(&error),
        }
    }
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
