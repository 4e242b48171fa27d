//! Requests that are too long, too large, too slow, and connections that are too many.

mod support;

use std::time::Duration;

use reqwest::Method;
use support::{
    Database,
    server::{Answer, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the server says on a connection until it has said `part`.
async fn heard(connection: &mut TcpStream, part: &str) -> String {
    let mut heard = Vec::new();
    let listen = async {
        while !String::from_utf8_lossy(&heard).contains(part) {
            assert_ne!(connection.read_buf(&mut heard).await.expect("readable"), 0, "closed: {heard:?}");
        }
    };
    timeout(PATIENCE, listen).await.expect("it answers in time");
    String::from_utf8(heard).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn long_urls_and_large_headers_are_refused_before_anything_is_looked_at() {
    let database = Database::new().await;
    let settings = [("api_url_bytes_max", "512"), ("api_header_bytes_max", "1024")];
    let server = Server::without_projections(&database, &settings).await;
    let url = |bytes: usize| format!("/api/orders?x={}", "y".repeat(bytes - 14));
    assert_eq!(Answer::of(server.anonymous(Method::GET, &url(512))).await.status, 401);
    let long = Answer::of(server.anonymous(Method::GET, &url(513))).await;
    assert_eq!((long.status.as_u16(), long.problem().as_str()), (414, "uri-too-long"));
    let with = |bytes| server.anonymous(Method::GET, "/api/orders").header("x-padding", "y".repeat(bytes));
    assert_eq!(Answer::of(with(800)).await.status, 401);
    let large = Answer::of(with(1_020)).await;
    assert_eq!((large.status.as_u16(), large.problem().as_str()), (431, "headers-too-large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("api_body_timeout_ms", "100")]).await;
    let mut slow = TcpStream::connect(server.address).await.expect("connected");
    let head = "POST /api/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dev-consumer\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("sent");
    let answer = heard(&mut slow, "/problems/request-timeout").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(database.events().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("api_request_timeout_ms", "100")]).await;
    let mut locker = database.client().await;
    let lock = locker.transaction().await.expect("begun");
    lock.batch_execute("lock table log.events in access exclusive mode").await.expect("locked");
    let late = server.post("/api/orders", &support::server::order()).await;
    assert_eq!((late.status.as_u16(), late.problem().as_str()), (503, "overloaded"));
    assert_eq!(late.header("retry-after"), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_room_wait_until_there_is_some() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("api_connections_max", "1")]).await;
    let request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(server.address).await.expect("connected");
    first.write_all(request).await.expect("sent");
    heard(&mut first, "200 OK").await;
    let mut second = TcpStream::connect(server.address).await.expect("the kernel takes it");
    second.write_all(request).await.expect("sent");
    // The first one is served again while the second one waits.
    first.write_all(request).await.expect("sent");
    heard(&mut first, "200 OK").await;
    let mut byte = [0];
    let unheard = timeout(Duration::from_millis(200), second.peek(&mut byte)).await;
    assert!(unheard.is_err(), "there was room for one");
    drop(first);
    heard(&mut second, "200 OK").await;
}
