//! W3C Trace Context between callers, the program's spans and its events.
//!
//! Leaves the sending of spans to whoever subscribes to them; where nobody does, a caller's context goes into the events
//! as it came.

use std::collections::HashMap;

use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use poem::http::HeaderMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::headers;
use crate::trace::{self, TRACEPARENT};

/// Makes the span of a request a child of the caller's.
pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
    if let Some(traceparent) = headers::traceparent(headers) {
        // It fails where nobody takes spans, and then there is nothing to do.
        let _ = span.set_parent(trace::context(traceparent));
    }
}

/// What events are to carry: the present span, else the caller's.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return headers::traceparent(headers);
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}
