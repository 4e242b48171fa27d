//! Answers that go on: events as they come, and exports.

use futures_util::{StreamExt, TryStreamExt};
use poem::{
    Body, Request, Response, handler,
    http::{HeaderName, header},
};

use super::core;
use crate::{
    api::{answer::named, auth::Role, headers, parameters::Parameters, problem::Problem},
    audit::Format,
    log::Position,
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static(headers::LAST_EVENT_ID);
/// Tells proxies to pass on what comes at once.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

#[handler]
pub(super) async fn listen(request: &Request) -> poem::Result<Response> {
    let core = core(request);
    let mut parameters = Parameters::of(request).await?;
    let filter = parameters.filter();
    let asked = parameters.number("last_event_id", 0..=i64::MAX);
    let sent = parameters.header_number(request, &LAST_EVENT_ID, 0..=i64::MAX);
    let head = core.audit.head().await.map_err(Problem::from)?;
    let after = sent.or(asked).unwrap_or(head.0);
    if after > head.0 {
        parameters.fault("last_event_id", "is beyond the end of the log");
    }
    parameters.finish()?;
    let events = core.audit.listen(filter, Position(after), core.draining.clone()).map_err(Problem::from)?;
    let (admitting, headers) = (core.clone(), request.headers().clone());
    let outlived = async move {
        let interval = admitting.audit.heartbeat();
        admitting.authenticator.outlived(&headers, Role::Auditor, interval).await;
    };
    let events = events.take_until(Box::pin(outlived));
    let body = Body::from_bytes_stream(events.map(Ok::<_, std::io::Error>));
    let response = Response::builder().content_type("text/event-stream").header(UNBUFFERED.0, UNBUFFERED.1);
    Ok(named("listenToAuditEvents", response.body(body)))
}

#[handler]
pub(super) async fn export(request: &Request) -> poem::Result<Response> {
    let mut parameters = Parameters::of(request).await?;
    let filter = parameters.filter();
    let format = parameters.choice("format", &[("ndjson", Format::Ndjson), ("csv", Format::Csv)]);
    let format = format.unwrap_or(Format::Ndjson);
    parameters.finish()?;
    let lines = core(request).audit.export(filter, format).await.map_err(Problem::from)?;
    let (content_type, name) = match format {
        Format::Ndjson => ("application/x-ndjson", "events.ndjson"),
        Format::Csv => ("text/csv; charset=utf-8; header=present", "events.csv"),
    };
    // What breaks half way cuts the answer off before its digest.
    let lines = lines.inspect_err(|error| tracing::error!(%error, "an export broke off"));
    let body = Body::from_bytes_stream(lines.map_err(std::io::Error::other));
    let response = Response::builder()
        .content_type(content_type)
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""));
    Ok(named("exportAuditEvents", response.body(body)))
}
