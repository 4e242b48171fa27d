//! Spans of what becomes of events after their commit: sent to Kafka, applied to a read model. Each goes on with the trace that
//! its event carries (`metadata.traceparent`), where that is sampled.
//!
//! Who takes spans, and where they go, is settled by the command line. The invariants: a span reports what has happened, never
//! an attempt; where nobody takes spans, no event is looked at.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use opentelemetry::{
    Context, KeyValue, global,
    global::BoxedTracer,
    propagation::TextMapPropagator,
    trace::{Span, SpanBuilder, SpanKind, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::Deserialize;

use crate::{config, log::Event};

/// W3C Trace Context's name of it, in headers and in our metadata.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// Whether it is W3C Trace Context, level 1; anything else is to be passed over.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else {
        return false;
    };
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    version == "00" && hex(trace, 32) && set(trace) && hex(parent, 16) && set(parent) && hex(flags, 2)
}

/// Whose spans these are.
const TRACER: &str = "annals";

/// Makes spans of events. Cheap to clone; by default nobody takes them.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Taken>>);

/// Where spans are taken.
struct Taken {
    tracer: BoxedTracer,
    batch_spans_max: usize,
}

impl Spans {
    /// Those that the process's tracer takes, where a collector is configured.
    pub fn new(output: &config::LogOutput) -> Self {
        let taken = || Taken { tracer: global::tracer(TRACER), batch_spans_max: output.otlp_batch_spans_max };
        Self(output.otlp_endpoint.as_ref().map(|_| Arc::new(taken())))
    }

    /// Of records that begin to be sent, each with its topic.
    pub(crate) fn sending<'a>(&self, records: impl Iterator<Item = (&'a Event, &'a str)>) -> Begun {
        let began = SystemTime::now();
        self.begin(records, |event, topic| {
            let attributes = [
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.name", "send"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", topic.to_owned()),
                KeyValue::new("messaging.kafka.message.key", event.stream_id.to_string()),
            ];
            let span = SpanBuilder::from_name(format!("send {topic}")).with_kind(SpanKind::Producer);
            span.with_start_time(began).with_attributes(attributes.into_iter().chain(of_event(event)))
        })
    }

    /// Of events that a projection has been applying since `began`, whichever way they came.
    pub(crate) fn applying<'a>(
        &self,
        projection: &str,
        began: SystemTime,
        events: impl Iterator<Item = &'a Event>,
    ) -> Begun {
        self.begin(events.map(|event| (event, projection)), |event, projection| {
            let attributes = [
                KeyValue::new("messaging.system", TRACER),
                KeyValue::new("messaging.operation.name", "apply"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", event.stream_type.clone()),
                KeyValue::new("messaging.consumer.group.name", projection.to_owned()),
            ];
            let span = SpanBuilder::from_name(format!("apply {projection}")).with_kind(SpanKind::Consumer);
            span.with_start_time(began).with_attributes(attributes.into_iter().chain(of_event(event)))
        })
    }

    pub(crate) fn are_taken(&self) -> bool {
        self.0.is_some()
    }

    fn begin<'a>(
        &self,
        events: impl Iterator<Item = (&'a Event, &'a str)>,
        describe: impl Fn(&Event, &str) -> SpanBuilder,
    ) -> Begun {
        let Some(taken) = &self.0 else {
            return Begun::default();
        };
        let sampled = events.filter_map(|(event, whither)| Some((describe(event, whither), parent(event)?)));
        Begun { spans: sampled.take(taken.batch_spans_max).collect(), taken: Some(taken.clone()) }
    }
}

/// Spans of a batch that is under way. Dropped, they never were.
#[derive(Default)]
pub(crate) struct Begun {
    taken: Option<Arc<Taken>>,
    spans: Vec<(SpanBuilder, Context)>,
}

impl Begun {
    /// The batch has gone through.
    pub(crate) fn end(self) {
        let Some(taken) = self.taken else {
            return;
        };
        for (span, parent) in self.spans {
            span.start_with_context(&taken.tracer, &parent).end();
        }
    }
}

/// The context that a `traceparent` names.
pub(crate) fn context(traceparent: String) -> Context {
    TraceContextPropagator::new().extract(&HashMap::from([(TRACEPARENT.to_owned(), traceparent)]))
}

/// The span that an event came of, where it is sampled.
fn parent(event: &Event) -> Option<Context> {
    #[derive(Deserialize)]
    struct Carried {
        traceparent: Option<String>,
    }
    let carried: Carried = event.metadata.parse().ok()?;
    Some(context(carried.traceparent?)).filter(|context| context.span().span_context().is_sampled())
}

fn of_event(event: &Event) -> [KeyValue; 3] {
    [
        KeyValue::new("messaging.message.id", event.event_id.to_string()),
        KeyValue::new("annals.event_type", event.event_type.clone()),
        KeyValue::new("annals.position", event.position.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::RawJson;

    fn event(metadata: &str) -> Event {
        Event {
            position: crate::log::Position(1),
            stream_type: "order".into(),
            stream_id: uuid::Uuid::nil(),
            version: crate::log::Version(1),
            event_id: uuid::Uuid::nil(),
            event_type: "order.created".into(),
            schema_version: 1,
            data: RawJson::trusted("{}"),
            metadata: RawJson::trusted(metadata),
            recorded_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn only_sampled_events_go_on_with_a_trace() {
        let parent = |flags| {
            let id = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            parent(&event(&format!(r#"{{"traceparent": "{id}"}}"#)))
        };
        let sampled = parent("01").expect("it is sampled");
        assert_eq!(sampled.span().span_context().span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent("00").is_none());
        assert!(super::parent(&event("{}")).is_none());
        assert!(super::parent(&event(r#"{"traceparent": "odd"}"#)).is_none());
    }

    #[test]
    fn a_batch_has_so_many_spans_at_most_and_none_where_nobody_takes_them() {
        let sampled = event(r#"{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#);
        let begun = |spans: Spans| spans.sending([(&sampled, "t"); 5].into_iter()).spans.len();
        let taken = Taken { tracer: global::tracer(TRACER), batch_spans_max: 3 };
        assert_eq!(begun(Spans(Some(Arc::new(taken)))), 3);
        assert_eq!(begun(Spans::default()), 0);
    }
}
