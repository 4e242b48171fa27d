//! What a command came to, as an answer: the stored result with its headers, or the stored rejection as a problem.

use std::marker::PhantomData;

use poem::{
    IntoResponse, Response,
    http::{HeaderName, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::Type,
};

use serde_json::{Value, json};

use super::{commands::CommandStatus, headers, problem::Problem, token::Tokens};
use crate::{
    command::{Answer, Outcome},
    json::RawJson,
    log::StreamId,
};

pub(crate) const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const CORRELATION_ID: HeaderName = HeaderName::from_static(headers::CORRELATION_ID);

/// 201: something began.
pub(crate) type Created<T> = Reply<201, T>;
/// 200: it was done.
pub(crate) type Done<T> = Reply<200, T>;
/// 204: it was done, and there is nothing to tell, so the shape is never looked at.
pub(crate) type Gone = Reply<204, String>;

/// The answer to a command: what it led to, in the shape of `T`; or 202, where it will be done later.
pub(crate) struct Reply<const STATUS: u16, T> {
    status: StatusCode,
    json: RawJson,
    headers: Vec<(HeaderName, String)>,
    shape: PhantomData<fn() -> T>,
}

impl<const STATUS: u16, T> Reply<STATUS, T> {
    pub(crate) fn of(answer: Answer, tokens: &Tokens) -> Result<Self, Problem> {
        let mut headers = vec![(CORRELATION_ID, answer.correlation_id)];
        if answer.replayed {
            headers.push((IDEMPOTENCY_REPLAYED, "true".to_owned()));
        }
        let problem = match answer.outcome {
            Outcome::Done(json) => {
                headers.push((header::ETAG, format!("\"{}\"", answer.version)));
                headers.extend(answer.position.map(|position| (CONSISTENCY_TOKEN, tokens.give(position))));
                if STATUS == 201 {
                    headers.push((header::LOCATION, location(&answer.stream)));
                }
                // The database writes JSON its own way; a repeat is the first answer to the byte.
                let json = match json.parse::<Value>() {
                    Ok(value) if answer.replayed => RawJson::of(&value),
                    _ => json,
                };
                return Ok(Self { status: Self::done(), json, headers, shape: PhantomData });
            }
            Outcome::Pending => {
                headers.push((header::LOCATION, format!("/api/commands/{}", answer.command_id)));
                headers.push((PREFERENCE_APPLIED, "respond-async".to_owned()));
                let json = RawJson::of(&json!({"command_id": answer.command_id, "status": "pending"}));
                return Ok(Self { status: StatusCode::ACCEPTED, json, headers, shape: PhantomData });
            }
            Outcome::Rejected(rejection) => Problem::from(rejection),
            Outcome::Failed(failure) => Problem::failed(answer.command_id, failure),
        };
        Err(headers.into_iter().fold(problem, |problem, (name, value)| problem.header(name, &value)))
    }

    fn done() -> StatusCode {
        StatusCode::from_u16(STATUS).expect("the aliases above name valid statuses")
    }
}

/// Where what a command worked on is found.
pub(crate) fn location(stream: &StreamId) -> String {
    format!("/api/{}s/{}", stream.stream_type, stream.id)
}

impl<const STATUS: u16, T: Send> IntoResponse for Reply<STATUS, T> {
    fn into_response(self) -> Response {
        let mut response = match self.status {
            StatusCode::NO_CONTENT => Response::default(),
            _ => Response::builder().content_type("application/json").body(self.json.as_str().to_owned()),
        };
        response.set_status(self.status);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, headers::value(&value));
        }
        response
    }
}

impl<const STATUS: u16, T: Type> ApiResponse for Reply<STATUS, T> {
    fn meta() -> MetaResponses {
        let (description, schema) = match STATUS {
            204 => ("Done; there is nothing to tell.", None),
            201 => ("Created.", Some(T::schema_ref())),
            _ => ("Done.", Some(T::schema_ref())),
        };
        let location = (STATUS == 201).then_some("Location");
        let names = ["ETag", "Consistency-Token", "Idempotency-Replayed"];
        let done = response(STATUS, description, schema, location.into_iter().chain(names));
        let accepted = response(
            202,
            "Accepted, as `Prefer: respond-async` asked; Location tells what becomes of it.",
            Some(CommandStatus::schema_ref()),
            ["Location", "Preference-Applied", "Idempotency-Replayed"],
        );
        MetaResponses { responses: vec![done, accepted] }
    }

    fn register(registry: &mut Registry) {
        CommandStatus::register(registry);
        if STATUS != 204 {
            T::register(registry);
        }
    }
}

/// A JSON answer for the document. Its headers go by their names; they are explained in one place
/// (`document/common.json`).
pub(crate) fn response(
    status: u16,
    description: &'static str,
    schema: Option<MetaSchemaRef>,
    headers: impl IntoIterator<Item = &'static str>,
) -> MetaResponse {
    let content = schema.map(|schema| MetaMediaType { content_type: "application/json", schema });
    let named = |name: &str| MetaHeader {
        name: name.to_owned(),
        description: None,
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    };
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: content.into_iter().collect(),
        headers: headers.into_iter().map(named).collect(),
    }
}
