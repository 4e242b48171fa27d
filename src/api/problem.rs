//! What goes wrong, as RFC 9457 tells it: every error of the API is a [`Problem`].
//!
//! The status code of every error is decided here. The invariant: a problem says nothing of the program's
//! inside; what broke goes to the log of the program under the id that the caller is given.

pub(crate) mod kind;

use std::collections::BTreeMap;

pub(crate) use kind::Kind;
use poem::{
    Response,
    error::{MethodNotAllowedError, NotFoundError, ResponseError},
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaResponses, Registry},
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    aggregate::{Rejection, RejectionKind, Violation},
    command, log,
};

/// When to come again after a 503 or a 409 that may pass, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// One answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", kind.slug)]
pub(crate) struct Problem {
    pub(crate) kind: &'static Kind,
    pub(crate) detail: String,
    faults: Vec<Fault>,
    members: BTreeMap<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Fault {
    /// Somewhere in the body.
    Body(Violation),
    Parameter {
        parameter: String,
        r#in: &'static str,
        detail: String,
    },
}

impl Fault {
    pub(crate) fn header(name: &str, detail: impl Into<String>) -> Self {
        Self::Parameter { parameter: name.to_owned(), r#in: "header", detail: detail.into() }
    }

    pub(crate) fn query(name: &str, detail: impl Into<String>) -> Self {
        Self::Parameter { parameter: name.to_owned(), r#in: "query", detail: detail.into() }
    }
}

impl Problem {
    pub(crate) fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        let problem = Self {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            members: BTreeMap::new(),
            headers: Vec::new(),
        };
        match kind.status {
            401 => problem.header(header::WWW_AUTHENTICATE, "Bearer"),
            503 => problem.header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            _ => problem,
        }
    }

    /// All that is wrong with a request that could be read.
    pub(crate) fn invalid(faults: Vec<Fault>) -> Self {
        let detail = match faults.len() {
            1 => "The request has a fault.".to_owned(),
            count => format!("The request has {count} faults."),
        };
        Self { faults, ..Self::new(kind::VALIDATION_FAILED, detail) }
    }

    /// Something broke. The cause is logged; the caller gets an id to ask with.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        let id = Uuid::now_v7();
        tracing::error!(%id, %cause, "a request failed");
        let detail = "Something broke on our side; the id leads to what.";
        Self::new(kind::INTERNAL, detail).member("id", id.to_string())
    }

    /// A command that was accepted and given up. To send it again it needs another Idempotency-Key: this answer is kept.
    pub(crate) fn failed(command_id: Uuid, failure: command::Failure) -> Self {
        match failure {
            command::Failure::VersionMismatch { actual } => command::Error::VersionMismatch { actual }.into(),
            command::Failure::Conflict { attempts } => Self::new(
                kind::CONFLICT,
                format!(
                    "Others kept changing it; given up after {attempts} attempts. Send it with another Idempotency-Key."
                ),
            )
            .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            command::Failure::Broken => {
                let detail =
                    "Something broke on our side, each time it was tried; the command's id leads to what.";
                Self::new(kind::INTERNAL, detail).member("id", command_id.to_string())
            }
        }
    }

    /// Too much to do at present; nothing was done.
    pub(crate) fn overloaded(detail: &str) -> Self {
        Self::new(kind::OVERLOADED, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(kind::NOT_FOUND, detail)
    }

    pub(crate) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // What a header cannot carry is left out rather than failing the answer.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The problem behind an error of the framework.
    pub(crate) fn of(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(problem) => return problem,
            Err(error) => error,
        };
        if error.is::<NotFoundError>() {
            return Self::not_found("There is nothing at this path.");
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::new(kind::METHOD_NOT_ALLOWED, "This path does not take this method.");
        }
        match error.status() {
            StatusCode::NOT_FOUND => Self::not_found("There is nothing at this path."),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(kind::TOO_LARGE, "The body is too large."),
            status if status.is_client_error() => Self::new(kind::MALFORMED, "The request cannot be read."),
            _ => Self::internal(&error),
        }
    }

    /// As an answer to a request for `instance`.
    pub(crate) fn into_response(self, instance: &str) -> Response {
        let (kind, headers) = (self.kind, self.headers.clone());
        let mut response = Response::builder()
            .status(kind.status())
            .content_type("application/problem+json")
            .body(self.into_json(instance).to_string());
        response.headers_mut().extend(headers);
        response.set_data(kind);
        response
    }

    /// The members that RFC 9457 names, and more of this problem's own.
    pub(crate) fn into_json(self, instance: &str) -> Value {
        let mut members = self.members;
        members.insert("type".into(), format!("/problems/{}", self.kind.slug).into());
        members.insert("title".into(), self.kind.title.into());
        members.insert("status".into(), self.kind.status.into());
        members.insert("detail".into(), self.detail.into());
        members.insert("instance".into(), instance.into());
        if !self.faults.is_empty() {
            let faults = serde_json::to_value(self.faults).expect("faults hold strings only");
            members.insert("errors".into(), faults);
        }
        Value::Object(members.into_iter().collect())
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.kind.status()
    }
}

/// The document lists problems per operation, not per handler (see `document`).
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(_registry: &mut Registry) {}
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let kind = match rejection.kind {
            RejectionKind::NotFound => kind::NOT_FOUND,
            RejectionKind::Rule => kind::REJECTED,
            RejectionKind::Invalid => kind::VALIDATION_FAILED,
        };
        Self {
            faults: rejection.violations.into_iter().map(Fault::Body).collect(),
            members: rejection.members,
            ..Self::new(kind, rejection.detail)
        }
    }
}

impl From<command::Error> for Problem {
    fn from(error: command::Error) -> Self {
        match error {
            command::Error::Invalid(violations) => {
                Self::invalid(violations.into_iter().map(Fault::Body).collect())
            }
            command::Error::KeyReused => Self::new(
                kind::IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key was used before for another request.",
            ),
            command::Error::VersionMismatch { actual } => Self::new(
                kind::VERSION_MISMATCH,
                format!("It is at version {actual}, which If-Match does not name."),
            )
            .member("actual_version", actual.0),
            command::Error::Conflict { attempts } => Self::new(
                kind::CONFLICT,
                format!("Others kept changing it; given up after {attempts} attempts."),
            )
            .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            command::Error::Log(error) => error.into(),
            command::Error::Database(error) => error.into(),
            error @ (command::Error::UnknownCommand(_)
            | command::Error::Unreadable(_)
            | command::Error::Record(_)
            | command::Error::Panicked(_)) => Self::internal(&error),
        }
    }
}

impl From<log::Error> for Problem {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::Overloaded => Self::overloaded("Too many commands are waiting; nothing was done."),
            log::Error::Closed => Self::overloaded("The server is ending; nothing was done."),
            log::Error::Away(_) => Self::overloaded("The database is away; nothing was done."),
            log::Error::Unknown(_) => Self::overloaded(
                "It is not known whether the command was carried out; the same Idempotency-Key tells.",
            ),
            log::Error::Unfit(log::Unfit::EventSize { .. }) => {
                Self::new(kind::TOO_LARGE, "What would be stored is too large.")
            }
            // The inner text names our limits, not our insides.
            log::Error::Unfit(unfit) => {
                Self::new(kind::VALIDATION_FAILED, format!("It cannot be stored: {unfit}."))
            }
            error @ (log::Error::Refused(_) | log::Error::Database(_)) => Self::internal(&error),
        }
    }
}

impl From<crate::postgres::Error> for Problem {
    fn from(error: crate::postgres::Error) -> Self {
        match error.failure() {
            crate::postgres::Failure::Transient => {
                tracing::warn!(%error, "a request met a database that is away");
                Self::overloaded("The database is away; try again.")
            }
            crate::postgres::Failure::Data | crate::postgres::Failure::Fatal => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(problem: Problem) -> Value {
        let response = problem.into_response("/api/orders");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let text = runtime.block_on(response.into_body().into_string()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_rejection_tells_state_and_what_is_allowed() {
        let rejection = Rejection::rule("It is created.").with("state", "created");
        let body = body(rejection.into());
        assert_eq!(body["type"], "/problems/rejected");
        assert_eq!(body["status"], 409);
        assert_eq!(body["state"], "created");
        assert_eq!(body["instance"], "/api/orders");
    }

    #[test]
    fn faults_name_where_they_are() {
        let problem = Problem::invalid(vec![
            Fault::Body(Violation::at("/total", "is required")),
            Fault::header("Idempotency-Key", "is empty"),
        ]);
        assert_eq!(
            body(problem)["errors"],
            serde_json::json!([
                {"pointer": "/total", "detail": "is required"},
                {"parameter": "Idempotency-Key", "in": "header", "detail": "is empty"},
            ])
        );
    }

    #[test]
    fn what_broke_stays_inside() {
        let body = body(Problem::from(log::Error::Database("secret table".into())));
        assert_eq!(body["status"], 500);
        assert!(body["id"].is_string());
        assert!(!body.to_string().contains("secret"));
    }
}
