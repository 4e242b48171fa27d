//! What admins may do over HTTP. Its shapes are described in `document/admin.json`.
//!
//! The invariant: an action is an event first, with its actor; what follows from it `crate::admin` makes true, and only
//! then is it answered.

mod keys;
mod projections;

use std::sync::Arc;

use poem::{Body, EndpointExt, IntoResponse, Request, Response, endpoint::BoxEndpoint, http::Method};
use poem_openapi::OperationId;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Core,
    auth::Caller,
    body,
    problem::{Fault, Problem, kind},
    routes::Table,
    sent::CorrelationId,
};
use crate::{
    admin,
    command::{self, Outcome},
    rebuild,
};

const PREFIX: &str = "/api/admin";

/// Adds the routes.
pub(super) fn add_routes(table: &mut Table) {
    let mut add = |method, path: &str, endpoint: BoxEndpoint<'static>| {
        table.entry(format!("{PREFIX}{path}")).or_default().insert(method, endpoint);
    };
    add(Method::GET, "/keys", keys::list.map_to_response().boxed());
    add(Method::POST, "/keys", keys::create.map_to_response().boxed());
    add(Method::DELETE, "/keys/:id", keys::revoke.map_to_response().boxed());
    add(Method::GET, "/projections", projections::list.map_to_response().boxed());
    add(Method::GET, "/projections/:name", projections::get.map_to_response().boxed());
    add(Method::POST, "/projections/:name/:verb", projections::act.map_to_response().boxed());
    add(Method::GET, "/projections/:name/rebuilds", projections::rebuilds.map_to_response().boxed());
    add(Method::POST, "/projections/:name/rebuilds", projections::begin_rebuild.map_to_response().boxed());
    add(Method::GET, "/projections/:name/rebuilds/:id", projections::get_rebuild.map_to_response().boxed());
    let act_on_rebuild = projections::act_on_rebuild.map_to_response().boxed();
    add(Method::POST, "/projections/:name/rebuilds/:id/:verb", act_on_rebuild);
}

/// Notes an action as an event, and makes it true; the stream it went to.
async fn act(
    request: &Request,
    command: &str,
    stream_id: Option<Uuid>,
    body: Value,
) -> Result<Uuid, Problem> {
    let core = core(request);
    let caller: &Caller = request.data().expect("the outer layer admits nobody without one");
    let CorrelationId(correlation_id) = request.data().expect("the outer layer settles on one");
    let answer = core
        .commands
        .execute(command::Request {
            command_id: None,
            command: command.to_owned(),
            stream_id,
            body,
            principal: caller.principal.clone(),
            idempotency_key: None,
            correlation_id: correlation_id.clone(),
            causation_id: None,
            traceparent: super::headers::traceparent(request.headers()),
            if_match: None,
            target: format!("{} {}", request.method(), request.uri().path()),
        })
        .await?;
    if let Outcome::Rejected(rejection) = answer.outcome {
        return Err(rejection.into());
    }
    if let Some(position) = answer.position {
        core.admin.carry_out(position).await?;
    }
    Ok(answer.stream.id)
}

/// The body, held against its published schema.
async fn valid(request: &Request, body: Body, schema: &str) -> Result<Value, Problem> {
    let core = core(request);
    let empty_is_object = core.schemas.requires_nothing(schema);
    let mut body = body::read(request, body, core.body, empty_is_object).await?;
    let violations = core.schemas.validate(schema, &mut body);
    match violations.is_empty() {
        true => Ok(body),
        false => Err(Problem::invalid(violations.into_iter().map(Fault::Body).collect())),
    }
}

fn core(request: &Request) -> &Arc<Core> {
    request.data().expect("the outer layer puts it there")
}

fn answered(operation: &'static str, body: &Value) -> Response {
    let mut response = body.to_string().with_content_type("application/json").into_response();
    response.set_data(OperationId(operation));
    response
}

impl From<admin::Error> for Problem {
    fn from(error: admin::Error) -> Self {
        match error {
            admin::Error::Rebuild(error) => error.into(),
            admin::Error::Database(error) => error.into(),
            error @ admin::Error::Unreadable(_) => Self::internal(&error),
        }
    }
}

impl From<rebuild::Error> for Problem {
    fn from(error: rebuild::Error) -> Self {
        use rebuild::Error;
        let detail = format!("It cannot be done: {error}.");
        match error {
            Error::UnknownProjection(_) | Error::Unknown(_) => Self::not_found(detail),
            Error::NotNow(state) => Self::new(kind::REJECTED, detail).member("state", state.as_str()),
            Error::AlreadyRunning(_) | Error::NothingToGoBackTo => Self::new(kind::REJECTED, detail),
            Error::Database(error) => error.into(),
        }
    }
}
