//! The outermost layer: who calls, what is told when something goes wrong, and what every answer carries.
//!
//! The invariants: under `/api` nothing is looked at before the caller is known and has the role; every error leaves as
//! problem+json; no panic reaches a client.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt;
use metrics::Label;
use poem::{
    Endpoint, Request, Response,
    http::{HeaderName, HeaderValue, header},
};
use poem_openapi::OperationId;
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    Core,
    auth::{Caller, Role},
    cors::Cors,
    drain, headers,
    problem::{Kind, Problem, kind},
    rate::Rates,
    sent::CorrelationId,
    trace,
};
use crate::{audit::Access, command::step::Step, config, uninterrupted::uninterrupted};

/// On every answer that does not say otherwise itself: nothing here is to be framed, sniffed or kept.
const SAFE_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Path and query of a look at the audit, in bytes; and its `Last-Event-ID`, which is a position or refused. Both fit into
/// `log.access`.
const ACCESS_BYTES_MAX: usize = 3_900;
const LAST_EVENT_ID_BYTES_MAX: usize = 20;

/// Wraps the routes.
pub(crate) struct Edge<E> {
    pub(crate) routes: Arc<E>,
    pub(crate) core: Arc<Core>,
    pub(crate) rates: Rates,
    pub(crate) limits: config::Api,
    pub(crate) cors: Cors,
}

impl<E: Endpoint<Output = Response> + 'static> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        drain::watch(&mut request);
        let correlation_id = headers::correlation_id(request.headers());
        request.set_data(CorrelationId(correlation_id.clone()));
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let origin = self.cors.allowed(request.headers());
        let span = tracing::info_span!("request", %correlation_id, %method, path);
        trace::adopt(&span, request.headers());
        let answer = AssertUnwindSafe(self.answer(request)).catch_unwind().instrument(span.clone());
        let mut response = match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(problem)) => problem.into_response(&path),
            // The panic's own text went to stderr by the panic hook.
            Err(_) => span.in_scope(|| Problem::internal(&"a panic")).into_response(&path),
        };
        let correlation = HeaderName::from_static(headers::CORRELATION_ID);
        let headers = response.headers_mut();
        headers.entry(correlation).or_insert(headers::value(&correlation_id));
        for (name, value) in SAFE_HEADERS {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        self.cors.open(origin, &mut response);
        span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
        let operation = response.data::<OperationId>().map_or("none", |operation| operation.0);
        let status = response.status().as_str().to_owned();
        let mut labels = vec![Label::new("operation", operation), Label::new("status", status)];
        // Of a problem also which one, for some are part of the contract.
        labels.extend(response.data::<&Kind>().map(|kind| Label::new("problem", kind.slug)));
        metrics::histogram!("annals_http_request_seconds", labels).record(started.elapsed());
        Ok(response)
    }
}

impl<E: Endpoint<Output = Response> + 'static> Edge<E> {
    /// The answer, unless it takes too long to begin.
    async fn answer(&self, request: Request) -> Result<Response, Problem> {
        let late = |_| {
            Problem::overloaded(
                "The request took too long. Whether a command was carried out is not known; the same \
                 Idempotency-Key tells.",
            )
        };
        timeout(self.limits.request_timeout, self.admit(request)).await.map_err(late)?
    }

    /// Lets those in who may, and asks the routes.
    async fn admit(&self, mut request: Request) -> Result<Response, Problem> {
        if let Some(response) = self.cors.preflight(&request) {
            return Ok(response);
        }
        let role = Role::of_path(request.uri().path());
        self.check_size(&request, role)?;
        request.set_data(self.core.clone());
        if let Some(role) = role {
            let CorrelationId(correlation_id) =
                request.data::<CorrelationId>().expect("the caller put it there").clone();
            let step = Step::start("authenticate", &correlation_id);
            let identified = self.core.authenticator.identify(request.headers()).await;
            drop(step);
            let caller = self.rates.check(identified, request.remote_addr())?;
            caller.must_be(role)?;
            let looks_at_audit = (role == Role::Auditor).then(|| access(&request, &caller));
            request.set_data(caller);
            if role != Role::Consumer {
                let (core, routes) = (self.core.clone(), self.routes.clone());
                // What consumers ask goes on by itself, where it has to.
                return uninterrupted(async move {
                    if let Some(access) = looks_at_audit {
                        core.audit.note(&access).await?;
                    }
                    routes.call(request).await.map_err(Problem::of)
                })
                .await;
            }
        }
        self.routes.call(request).await.map_err(Problem::of)
    }

    /// The framework's own bounds are wider, and told without a body.
    fn check_size(&self, request: &Request, role: Option<Role>) -> Result<(), Problem> {
        let limits = &self.limits;
        // A look at the audit is noted as a whole, or is none.
        let noted = if role == Some(Role::Auditor) { ACCESS_BYTES_MAX } else { usize::MAX };
        let most = limits.url_bytes_max.min(noted);
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > most {
            let detail = format!("Path and query may have {most} bytes at most.");
            return Err(Problem::new(kind::URI_TOO_LONG, detail));
        }
        let headers = request.headers().iter();
        let bytes: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > limits.header_bytes_max {
            let detail = format!("The headers may have {} bytes at most.", limits.header_bytes_max);
            return Err(Problem::new(kind::HEADERS_TOO_LARGE, detail));
        }
        Ok(())
    }
}

/// A look at the audit, as it is noted; with the position after which events are asked for, where a header tells it.
fn access(request: &Request, caller: &Caller) -> Access {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let after = request.headers().get(headers::LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let after = after.filter(|after| after.len() <= LAST_EVENT_ID_BYTES_MAX);
    let after = after.map_or_else(String::new, |after| format!(" {}: {after}", headers::LAST_EVENT_ID));
    Access {
        principal: caller.principal.clone(),
        method: request.method().to_string(),
        target: format!("{target}{after}"),
        correlation_id: request.data::<CorrelationId>().map_or_else(String::new, |id| id.0.clone()),
    }
}
