//! Spans by OTLP: what a collector receives, and how it hangs together with callers and events.

mod support;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use reqwest::{Client, StatusCode};
use support::{Database, ORDER, kafka_brokers, process::Process, topic_prefix, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const UNSAMPLED: &str = "00000000000000000000000000000bad";
const CALLER: &str = "00f067aa0ba902b7";

/// A stand-in for a collector: hands on the spans of every export.
async fn collect(listener: TcpListener, spans: mpsc::UnboundedSender<Span>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(take(stream, spans.clone()));
    }
}

/// Takes exports from one connection until it ends.
async fn take(mut stream: TcpStream, spans: mpsc::UnboundedSender<Span>) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.expect("bytes") > 0 {
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8(bytes[..head].to_vec()).expect("ASCII").to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let end = head + 4 + length.expect("a length").parse::<usize>().expect("a number");
        if bytes.len() < end {
            continue;
        }
        assert!(text.starts_with("post /v1/traces "), "{text}");
        assert!(text.contains("content-type: application/x-protobuf"), "{text}");
        let export = ExportTraceServiceRequest::decode(&bytes[head + 4..end]).expect("OTLP");
        for resource in export.resource_spans {
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.send(span).expect("somebody waits for it");
            }
        }
        bytes.drain(..end);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("answered");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends an order in a trace of the caller's.
async fn place(client: &Client, annals: &Process, trace: &str, flags: &str) {
    let order = client.post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
    let order = order.header("traceparent", format!("00-{trace}-{CALLER}-{flags}"));
    let placed = order.header("content-type", "application/json").body(ORDER).send().await;
    assert_eq!(placed.expect("answered").status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_caller_to_the_read_model() {
    let database = Database::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let (told, mut taken) = mpsc::unbounded_channel();
    let collector = tokio::spawn(collect(listener, told));
    let (brokers, prefix) = (kafka_brokers(), topic_prefix());
    let settings = [("otlp_endpoint", &*endpoint), ("kafka_brokers", &brokers), ("topic_prefix", &prefix)];
    let mut annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    place(&client, &annals, TRACE, "01").await;
    place(&client, &annals, UNSAMPLED, "00").await;
    let rows = async || {
        let client = database.client().await;
        let rows = client.query("select from projection_orders_1.orders", &[]).await;
        rows.map_or(0, |rows| rows.len())
    };
    until("both are in the read model", || async { rows().await == 2 }).await;
    annals.signal("TERM");
    assert_eq!(annals.end().await, Some(0));

    collector.abort();
    let mut spans = Vec::new();
    while let Ok(span) = taken.try_recv() {
        assert_ne!(hex(&span.trace_id), UNSAMPLED, "its caller wanted none: {span:?}");
        if hex(&span.trace_id) == TRACE {
            spans.push(span);
        }
    }
    let named = |name: &str| {
        let mut named = spans.iter().filter(|span| span.name == name);
        let (span, more) = (named.next(), named.next());
        assert!(more.is_none(), "once only: {more:?}");
        span.unwrap_or_else(|| panic!("`{name}` is not among {spans:#?}"))
    };
    let event = database.events().await.remove(0);
    let metadata: serde_json::Value = event.metadata.parse().expect("JSON");
    let traceparent = metadata["traceparent"].as_str().expect("it is kept").to_owned();
    let [_, trace, written_by, _] = traceparent.split('-').collect::<Vec<_>>()[..] else {
        panic!("{traceparent}")
    };
    assert_eq!(trace, TRACE);
    let (request, command) = (named("request"), named("command"));
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(command.parent_span_id, request.span_id);
    assert!([request, command].iter().any(|span| hex(&span.span_id) == written_by), "{written_by}");
    for (name, kind) in
        [(format!("send {prefix}.order"), SpanKind::Producer), ("apply orders".into(), SpanKind::Consumer)]
    {
        let span = named(&name);
        assert_eq!((hex(&span.parent_span_id).as_str(), span.kind()), (written_by, kind), "{name}");
        let attribute = span.attributes.iter().find(|attribute| attribute.key == "messaging.message.id");
        assert!(format!("{attribute:?}").contains(&event.event_id.to_string()), "{attribute:?}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
}
