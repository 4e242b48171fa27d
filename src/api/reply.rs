//! What a command came to, as an answer: the stored result with its headers, or the stored rejection as a problem.

use std::marker::PhantomData;

use poem::{
    IntoResponse, Response,
    http::{HeaderName, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use super::{headers, problem::Problem, token::Tokens};
use crate::{
    command::{Answer, Outcome},
    json::RawJson,
};

pub(crate) const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const CORRELATION_ID: HeaderName = HeaderName::from_static(headers::CORRELATION_ID);

/// 201: something began.
pub(crate) type Created<T> = Reply<201, T>;
/// 200: it was done.
pub(crate) type Done<T> = Reply<200, T>;
/// 204: it was done, and there is nothing to tell, so the shape is never looked at.
pub(crate) type Gone = Reply<204, String>;

/// The answer to a command that was carried out, with a body of the shape of `T`.
pub(crate) struct Reply<const STATUS: u16, T> {
    /// `STATUS`, or 202 while the command is pending.
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
        let (status, json) = match answer.outcome {
            Outcome::Done(json) => {
                headers.push((header::ETAG, format!("\"{}\"", answer.version)));
                headers.extend(
                    answer
                        .position
                        .map(|position| (CONSISTENCY_TOKEN, tokens.give(position))),
                );
                (STATUS, json)
            }
            Outcome::Pending => {
                headers.push((header::LOCATION, format!("/api/commands/{}", answer.command_id)));
                let pending = serde_json::json!({ "command_id": answer.command_id, "status": "pending" });
                (StatusCode::ACCEPTED.as_u16(), RawJson::of(&pending))
            }
            Outcome::Rejected(rejection) => return Err(with_headers(rejection.into(), headers)),
            Outcome::Failed(reason) => return Err(with_headers(Problem::internal(&reason), headers)),
        };
        Ok(Self {
            status: StatusCode::from_u16(status).expect("the aliases above name valid statuses"),
            json,
            headers,
            shape: PhantomData,
        })
    }

    /// Tells where what began is found, once it has begun.
    pub(crate) fn at(mut self, location: &str) -> Self {
        if self.status != StatusCode::ACCEPTED {
            self.headers.push((header::LOCATION, location.to_owned()));
        }
        self
    }
}

impl<const STATUS: u16, T: Send> IntoResponse for Reply<STATUS, T> {
    fn into_response(self) -> Response {
        let mut response = match self.status {
            StatusCode::NO_CONTENT => Response::default(),
            _ => Response::builder()
                .content_type("application/json")
                .body(self.json.as_str().to_owned()),
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
        let (description, content) = match STATUS {
            204 => ("Done; there is nothing to tell.", None),
            201 => ("Created.", Some(T::schema_ref())),
            _ => ("Done.", Some(T::schema_ref())),
        };
        let content = content.map(|schema| MetaMediaType {
            content_type: "application/json",
            schema,
        });
        let location = (STATUS == 201).then_some("Location");
        let names = ["ETag", "Consistency-Token", "Idempotency-Replayed"];
        MetaResponses {
            responses: vec![MetaResponse {
                description,
                status: Some(STATUS),
                status_range: None,
                content: content.into_iter().collect(),
                headers: location.into_iter().chain(names).map(named).collect(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        if STATUS != 204 {
            T::register(registry);
        }
    }
}

fn with_headers(problem: Problem, headers: Vec<(HeaderName, String)>) -> Problem {
    headers
        .into_iter()
        .fold(problem, |problem, (name, value)| problem.header(name, &value))
}

/// A header by its name; the document explains it in one place (`document/common.json`).
pub(crate) fn named(name: &str) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: None,
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    }
}
