//! Spans by OTLP: what a collector receives, and how it hangs together with callers and events.

mod support;

use std::time::Duration;

use reqwest::Client;
use support::{Database, ORDER, process::Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Takes one export, answers it, and returns its head and body.
async fn collect(listener: TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut bytes = Vec::new();
    loop {
        assert!(stream.read_buf(&mut bytes).await.expect("bytes") > 0, "it ended early");
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8(bytes[..head].to_vec()).expect("ASCII").to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = &bytes[head + 4..];
        if body.len() >= length.expect("a length").parse().expect("a number") {
            let answer =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.expect("answered");
            return (text, body.to_vec());
        }
    }
}

fn binary(hex: &str) -> Vec<u8> {
    let digits = |index| u8::from_str_radix(&hex[index..index + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_of_its_callers_trace_and_its_events_carry_it() {
    let database = Database::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let collected = tokio::spawn(collect(listener));
    let mut annals = Process::serve(&database, &[], &[("otlp_endpoint", &endpoint)]);
    let order = Client::new().post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
    let order = order.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let placed = order.header("content-type", "application/json").body(ORDER).send().await;
    assert_eq!(placed.expect("answered").status(), 201);
    annals.signal("TERM");
    assert_eq!(annals.end().await, Some(0));

    let (head, body) = timeout(Duration::from_secs(20), collected).await.expect("sent").expect("whole");
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let holds = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    for part in ["annals", "request", "command", "order.create"] {
        assert!(holds(part.as_bytes()), "{part}");
    }
    assert!(holds(&binary(TRACE)) && holds(&binary(CALLER)), "it is of the caller's trace");

    let event = database.events().await.remove(0);
    let metadata: serde_json::Value = event.metadata.parse().expect("JSON");
    let traceparent = metadata["traceparent"].as_str().expect("it is kept").to_owned();
    let [_, trace, span, _] = traceparent.split('-').collect::<Vec<_>>()[..] else { panic!("{traceparent}") };
    assert_eq!(trace, TRACE);
    assert_ne!(span, CALLER, "the event comes of the span");
    assert!(holds(&binary(span)), "which the collector knows");
}
