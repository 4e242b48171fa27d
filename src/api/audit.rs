//! What auditors may ask over HTTP. Its shapes are described in `document/audit.json`.
//!
//! Leaves the questions to `audit`, and the noting of each of them to the outer layer.

mod streaming;

use poem::{
    EndpointExt, Request, Response,
    endpoint::BoxEndpoint,
    handler,
    http::{Method, StatusCode, header},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    answer::{list, one},
    auth::Caller,
    core, headers,
    parameters::Parameters,
    problem::{Fault, Problem, kind},
    read::POSITION,
    routes::Table,
};
use crate::{
    audit::{self, At},
    log::{StreamId, Version},
};

/// Where all of it is found.
pub(super) const PREFIX: &str = "/api/audit";

/// Adds the routes.
pub(super) fn add_routes(table: &mut Table) {
    let mut add = |method, path: &str, endpoint: BoxEndpoint<'static>| {
        table.entry(format!("{PREFIX}{path}")).or_default().insert(method, endpoint);
    };
    add(Method::POST, "/verifications", begin_verification.map_to_response().boxed());
    let mut get = |path: &str, endpoint| add(Method::GET, path, endpoint);
    get("/verifications/:id", get_verification.map_to_response().boxed());
    get("/streams/:type/:id", get_stream.map_to_response().boxed());
    get("/streams/:type/:id/events", list_stream_events.map_to_response().boxed());
    get("/streams/:type/:id/state", get_state.map_to_response().boxed());
    get("/events", list_events.map_to_response().boxed());
    get("/events/live", streaming::listen.map_to_response().boxed());
    get("/export", streaming::export.map_to_response().boxed());
    get("/events/:event_id", get_event.map_to_response().boxed());
    get("/commands", list_commands.map_to_response().boxed());
    get("/commands/:command_id", get_command.map_to_response().boxed());
    get("/access", list_accesses.map_to_response().boxed());
}

#[handler]
async fn get_stream(request: &Request) -> poem::Result<Response> {
    let stream = stream_id(request)?;
    Parameters::of(request).await?.finish()?;
    let summary = core(request).audit.stream(&stream).await.map_err(Problem::from)?;
    Ok(one("getAuditStream", &summary.ok_or_else(no_stream)?))
}

#[handler]
async fn list_stream_events(request: &Request) -> poem::Result<Response> {
    let stream = stream_id(request)?;
    let mut parameters = Parameters::of(request).await?;
    let from = parameters.number("from_version", 1..=i64::MAX).map(|from| from - 1);
    let after = parameters.cursor::<i64>()?.or(from).unwrap_or(0);
    let limit = parameters.limit();
    parameters.finish()?;
    let audit = &core(request).audit;
    let page = audit.stream_events(&stream, Version(after), limit).await.map_err(Problem::from)?;
    if page.items.is_empty() && audit.stream(&stream).await.map_err(Problem::from)?.is_none() {
        return Err(no_stream().into());
    }
    Ok(list(request, "listAuditStreamEvents", &page, |version| version.0.to_string()))
}

#[handler]
async fn get_state(request: &Request) -> poem::Result<Response> {
    let stream = stream_id(request)?;
    let mut parameters = Parameters::of(request).await?;
    let version = parameters.number("at_version", 1..=i64::MAX);
    let time = parameters.time("at");
    if version.is_some() && time.is_some() {
        parameters.fault("at", "cannot be asked for together with at_version");
    }
    parameters.finish()?;
    let at = match (version, time) {
        (Some(version), _) => At::Version(Version(version)),
        (None, Some(time)) => At::Time(time),
        (None, None) => At::Now,
    };
    let state = core(request).audit.state(&stream, at).await.map_err(Problem::from)?;
    let absent = || Problem::not_found("There was no such thing then.");
    Ok(one("getAuditState", &state.ok_or_else(absent)?))
}

#[handler]
async fn list_events(request: &Request) -> poem::Result<Response> {
    let mut parameters = Parameters::of(request).await?;
    let cursor = parameters.cursor()?;
    let filter = parameters.filter();
    let after = parameters.after;
    let backwards = parameters.choice("sort", &[("position", false), ("-position", true)]).unwrap_or(false);
    let limit = parameters.limit();
    parameters.finish()?;
    let audit = &core(request).audit;
    let found = audit.events(&filter, cursor, backwards, limit).await.map_err(Problem::from)?;
    if after.is_some_and(|after| found.reached < after) {
        return Err(Problem::from(audit::Error::Behind).into());
    }
    let mut response = list(request, "listAuditEvents", &found.page, |position| position.0.to_string());
    response.headers_mut().insert(POSITION, headers::value(&found.reached.to_string()));
    Ok(response)
}

#[handler]
async fn get_event(request: &Request) -> poem::Result<Response> {
    let id = id(request)?;
    Parameters::of(request).await?.finish()?;
    let event = core(request).audit.event(id).await.map_err(Problem::from)?;
    Ok(one("getAuditEvent", &event.ok_or_else(|| Problem::not_found("There is no such event."))?))
}

#[handler]
async fn get_command(request: &Request) -> poem::Result<Response> {
    let id = id(request)?;
    Parameters::of(request).await?.finish()?;
    let command = core(request).audit.command(id).await.map_err(Problem::from)?;
    let absent = || Problem::not_found("There is no such command, or its row is no longer kept.");
    Ok(one("getAuditCommand", &command.ok_or_else(absent)?))
}

#[handler]
async fn list_commands(request: &Request) -> poem::Result<Response> {
    let mut parameters = Parameters::of(request).await?;
    let before: Option<Uuid> = parameters.cursor()?;
    let actor = parameters.text("actor");
    let outcome = parameters.outcome();
    let limit = parameters.limit();
    parameters.finish()?;
    let audit = &core(request).audit;
    let page = audit.commands(actor.as_deref(), outcome, before, limit).await.map_err(Problem::from)?;
    Ok(list(request, "listAuditCommands", &page, Uuid::to_string))
}

#[handler]
async fn list_accesses(request: &Request) -> poem::Result<Response> {
    let mut parameters = Parameters::of(request).await?;
    let before: Option<Uuid> = parameters.cursor()?;
    let actor = parameters.text("actor");
    let limit = parameters.limit();
    parameters.finish()?;
    let page = core(request).audit.accesses(actor.as_deref(), before, limit).await.map_err(Problem::from)?;
    Ok(list(request, "listAuditAccess", &page, Uuid::to_string))
}

#[handler]
async fn begin_verification(request: &Request) -> poem::Result<Response> {
    Parameters::of(request).await?.finish()?;
    let caller: &Caller = request.data().expect("the outer layer admits nobody without one");
    let id = core(request).audit.begin_verification(&caller.principal).await.map_err(Problem::from)?;
    let mut response = one("beginVerification", &json!({"id": id, "state": "running"}));
    response.set_status(StatusCode::ACCEPTED);
    let location = format!("{PREFIX}/verifications/{id}");
    response.headers_mut().insert(header::LOCATION, headers::value(&location));
    Ok(response)
}

#[handler]
async fn get_verification(request: &Request) -> poem::Result<Response> {
    let id = id(request)?;
    Parameters::of(request).await?.finish()?;
    let found = core(request).audit.verification(id).await.map_err(Problem::from)?;
    let found = found.ok_or_else(|| Problem::not_found("There is no such verification."))?;
    Ok(one("getVerification", &found))
}

/// The stream that a path names. What cannot be one names nothing.
fn stream_id(request: &Request) -> Result<StreamId, Problem> {
    let (stream_type, id): (String, String) = request.path_params().unwrap_or_default();
    let id = id.parse().map_err(|_| no_stream())?;
    if stream_type.contains('\0') { Err(no_stream()) } else { Ok(StreamId { stream_type, id }) }
}

fn no_stream() -> Problem {
    Problem::not_found("There is no such stream.")
}

fn id(request: &Request) -> Result<Uuid, Problem> {
    request.path_params().map_err(|_| Problem::not_found("The id is no UUID."))
}

impl From<audit::Error> for Problem {
    fn from(error: audit::Error) -> Self {
        match error {
            audit::Error::Overloaded => {
                Self::overloaded("Too many listeners or verifications are served already.")
            }
            audit::Error::Behind => {
                Self::new(kind::PROJECTION_BEHIND, "The auditors' index has not come that far yet.")
            }
            audit::Error::TooSlow => Self::overloaded(
                "The question took too long. Ask for less: a shorter time (from, to), one stream type, a smaller limit.",
            ),
            audit::Error::NotOver { now } => Self::invalid(vec![Fault::query(
                "to",
                format!("must not be later than the database's clock, {}", now.to_rfc3339()),
            )]),
            audit::Error::Database(error) => error.into(),
            error @ audit::Error::Unreadable(_) => Self::internal(&error),
        }
    }
}
