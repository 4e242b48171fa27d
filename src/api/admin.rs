//! What admins may do over HTTP. Its shapes are described in `document/admin.json`.
//!
//! The invariant: an action is an event first, with its actor; `crate::admin` applies it, and only then is it answered.

mod keys;
mod parked;
mod projections;
mod relay;

use poem::{Body, EndpointExt, Request, endpoint::BoxEndpoint, http::Method};
use serde_json::Value;

use super::{
    auth::Caller,
    body, core,
    problem::{Fault, Problem, kind},
    routes::Table,
    sent::CorrelationId,
};
use crate::{
    admin::{self, Asker},
    projector::parked::Error as ParkedError,
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
    add(
        Method::POST,
        "/projections/:name/:verb<^(pause|resume|rollback)$>",
        projections::act.map_to_response().boxed(),
    );
    add(Method::POST, "/projections/:name/drop", projections::drop.map_to_response().boxed());
    add(Method::GET, "/projections/:name/rebuilds", projections::rebuilds.map_to_response().boxed());
    add(Method::POST, "/projections/:name/rebuilds", projections::begin_rebuild.map_to_response().boxed());
    add(Method::GET, "/projections/:name/rebuilds/:id", projections::get_rebuild.map_to_response().boxed());
    add(Method::GET, "/projections/:name/parked", parked::list.map_to_response().boxed());
    let mend = parked::mend.map_to_response().boxed();
    add(Method::POST, "/projections/:name/parked/:stream_id/:verb<^(retry|skip)$>", mend);
    add(Method::GET, "/relay", relay::get.map_to_response().boxed());
    add(Method::POST, "/relay/reconciles", relay::begin_reconcile.map_to_response().boxed());
    add(Method::GET, "/relay/reconciles/:id", relay::get_reconcile.map_to_response().boxed());
    let act_on_rebuild = projections::act_on_rebuild.map_to_response().boxed();
    add(Method::POST, "/projections/:name/rebuilds/:id/:verb<^(pause|resume|cancel|swap)$>", act_on_rebuild);
}

/// Who asks.
fn asker(request: &Request) -> Asker {
    let caller: &Caller = request.data().expect("the outer layer admits nobody without one");
    let CorrelationId(correlation_id) = request.data().expect("the outer layer settles on one");
    Asker {
        principal: caller.principal.clone(),
        correlation_id: correlation_id.clone(),
        traceparent: super::trace::traceparent(request.headers()),
        target: format!("{} {}", request.method(), request.uri().path()),
    }
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

impl From<admin::Error> for Problem {
    fn from(error: admin::Error) -> Self {
        match error {
            admin::Error::Rebuild(error) => error.into(),
            admin::Error::Parked(error) => error.into(),
            admin::Error::Database(error) => error.into(),
            admin::Error::Command(error) => error.into(),
            admin::Error::Rejected(rejection) => rejection.into(),
            error @ (admin::Error::HasFolder(_) | admin::Error::NoKafka | admin::Error::Reconciling) => {
                Self::new(kind::REJECTED, format!("It cannot be done: {error}."))
            }
            error @ (admin::Error::Unreadable(_) | admin::Error::Options(_) | admin::Error::Relay(_)) => {
                Self::internal(&error)
            }
        }
    }
}

impl From<ParkedError> for Problem {
    fn from(error: ParkedError) -> Self {
        match error {
            ParkedError::NotParked => Self::not_found("The projection has not parked this stream."),
            ParkedError::Refused(reason) => {
                Self::new(kind::REJECTED, format!("It cannot be done now: {reason}."))
            }
            ParkedError::Database(error) => error.into(),
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
            Error::AlreadyRunning(_) | Error::BeingRebuilt(_) | Error::NothingToGoBackTo => {
                Self::new(kind::REJECTED, detail)
            }
            Error::Database(error) => error.into(),
        }
    }
}
