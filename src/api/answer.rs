//! Answers of the routes whose shapes stand in `document/*.json`: JSON under its operation's name, and pages with the way to
//! the next one.

use poem::{IntoResponse, Request, Response, http::header};
use poem_openapi::OperationId;
use serde::Serialize;
use serde_json::Value;

use super::{headers, parameters::CursorText};
use crate::{json::RawJson, page::Page};

/// An answer under the name of its operation, by which requests are counted.
pub(super) fn named(operation: &'static str, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.set_data(OperationId(operation));
    response
}

/// A value as JSON.
pub(super) fn one(operation: &'static str, value: &impl Serialize) -> Response {
    named(operation, RawJson::of(value).as_str().to_owned().with_content_type("application/json"))
}

/// A page of a list.
pub(super) fn list<C>(
    request: &Request,
    operation: &'static str,
    page: &Page<C>,
    cursor: impl Fn(&C) -> String,
) -> Response {
    let next = page.next.as_ref().map(|next| CursorText::of(&cursor(next)));
    let json = page_json(&page.items, next.as_deref());
    let mut response = named(operation, json.with_content_type("application/json"));
    if let Some(next) = next {
        let given = request.params::<Vec<(String, String)>>().unwrap_or_default();
        let link = next_link(request.uri().path(), &given, &next);
        response.headers_mut().insert(header::LINK, headers::value(&link));
    }
    response
}

/// The items go through as they were written.
pub(super) fn page_json(items: &[RawJson], next: Option<&str>) -> String {
    let items: Vec<_> = items.iter().map(RawJson::as_str).collect();
    format!("{{\"items\":[{}],\"next\":{}}}", items.join(","), Value::from(next))
}

/// The same request, from the cursor on.
pub(super) fn next_link(path: &str, parameters: &[(String, String)], cursor: &str) -> String {
    let kept = parameters.iter().filter(|(name, _)| name != "cursor");
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("cursor", cursor)
        .finish();
    format!("<{path}?{query}>; rel=\"next\"")
}
