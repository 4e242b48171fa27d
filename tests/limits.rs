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
    time::{interval, timeout},
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
async fn whoever_calls_is_found_out_within_the_same_time() {
    let database = Database::new().await;
    let keys = [("auth", "keys"), ("api_request_timeout_ms", "100")];
    let by_key = Server::without_projections(&database, &keys).await;
    let by_name = Server::without_projections(&database, &keys[1..]).await;
    let mut locker = database.client().await;
    let lock = locker.transaction().await.expect("begun");
    lock.batch_execute("lock table log.api_keys, log.access in access exclusive mode").await.expect("locked");
    let key = format!("annals_{}", "A".repeat(43));
    for request in [
        by_key.anonymous(Method::GET, "/api/orders").bearer_auth(key),
        by_name.anonymous(Method::GET, "/api/audit/events").bearer_auth("dev-auditor"),
    ] {
        let late = timeout(PATIENCE, Answer::of(request)).await.expect("it answers in time");
        assert_eq!((late.status.as_u16(), late.problem().as_str()), (503, "overloaded"));
        assert_eq!(late.header("retry-after"), Some("1"));
    }
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

/// Waits until the server has closed the connection, whatever it said before.
async fn closed(connection: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut heard)).await.expect("it is closed in time").expect("read");
    String::from_utf8(heard).expect("UTF-8")
}

/// Sends a header without end, a byte at a time, until the other side has closed.
async fn dribble(connection: TcpStream) -> String {
    let (mut reading, mut writing) = connection.into_split();
    let mut pace = interval(Duration::from_millis(5));
    let dribbling = async {
        while writing.write_all(b"y").await.is_ok() {
            pace.tick().await;
        }
        std::future::pending::<()>().await;
    };
    let mut heard = Vec::new();
    let reading = async {
        // A byte that comes after the end is answered with a reset.
        let _ = reading.read_to_end(&mut heard).await;
    };
    let ended = async {
        tokio::select! { () = dribbling => {}, () = reading => {} }
    };
    timeout(PATIENCE, ended).await.expect("it is closed in time");
    String::from_utf8(heard).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let database = Database::new().await;
    let settings = [("api_head_timeout_ms", "100"), ("api_connections_max", "1")];
    let server = Server::without_projections(&database, &settings).await;
    let connect = || async { TcpStream::connect(server.address).await.expect("connected") };
    // Each gets the room of the one before it, so each has to be closed by the server.
    assert_eq!(closed(&mut connect().await).await, "", "silent from the beginning");
    let mut slow = connect().await;
    slow.write_all(b"GET /health/live HTTP/1.1\r\nX-Slow: ").await.expect("sent");
    let heard = dribble(slow).await;
    assert!(!heard.contains("200 OK"), "a header without end: {heard}");
    let mut idle = connect().await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /").await.expect("sent");
    let heard = closed(&mut idle).await;
    assert!(heard.starts_with("HTTP/1.1 200 OK"), "the next one does not come: {heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_is_not_kept() {
    let database = Database::new().await;
    let settings = [("api_url_bytes_max", "512"), ("api_header_bytes_max", "1024")];
    let server = Server::without_projections(&database, &settings).await;
    let mut endless = TcpStream::connect(server.address).await.expect("connected");
    endless.write_all(b"GET /health/live HTTP/1.1\r\nX-Long: ").await.expect("sent");
    endless.write_all("y".repeat(20_000).as_bytes()).await.expect("sent");
    let heard = closed(&mut endless).await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_faults_takes_no_more_than_a_body() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let deep =
        format!(r#"{{"items":[{{"sku":"x","{}":[{}1]}}]}}"#, "a".repeat(500_000), "1e65,".repeat(90_000));
    let items = format!(r#"{{"items":[{}{{}}]}}"#, r#"{"unit_price":1.000},"#.repeat(45_000));
    for body in [deep, items] {
        let refused = server.post_text("/api/orders", &body).await;
        assert_eq!(refused.problem(), "validation-failed");
        assert!(refused.text.len() < 200_000, "{} bytes", refused.text.len());
    }
    let item = r#"{"sku":"a","quantity":1,"unit_price":1.00},"#;
    let items = item.repeat(1_500);
    let many = format!(r#"{{"customer_id":"c","items":[{}],"total":1500.00}}"#, items.trim_end_matches(','));
    assert_eq!(
        server.post_text("/api/orders", &many).await.faults(),
        ["/items"],
        "nothing is said of what is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_is_not_waited_for() {
    let database = Database::new().await;
    let settings = [("api_write_timeout_ms", "100"), ("api_connections_max", "1")];
    let server = Server::without_projections(&database, &settings).await;
    let mut greedy = TcpStream::connect(server.address).await.expect("connected");
    // Pages beyond what the kernel keeps for the two of them.
    let asking = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    greedy.write_all(&asking).await.expect("sent");
    let mut next = TcpStream::connect(server.address).await.expect("the kernel takes it");
    next.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    heard(&mut next, "200 OK").await;
    drop(greedy);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_head_may_take_longer() {
    let database = Database::new().await;
    let settings = [("api_head_timeout_ms", "50"), ("audit_heartbeat_ms", "100")];
    let server = Server::without_projections(&database, &settings).await;
    let mut live = TcpStream::connect(server.address).await.expect("connected");
    let head = "GET /api/audit/events/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dev-auditor\r\n\r\n";
    live.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..4 {
        // A heartbeat, and with it twice the time that a head has.
        heard(&mut live, "\n\n").await;
    }
    let mut slow = TcpStream::connect(server.address).await.expect("connected");
    let order = support::ORDER;
    let head = format!(
        "POST /api/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dev-consumer\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        order.len()
    );
    slow.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..2 {
        heard(&mut live, "\n\n").await;
    }
    slow.write_all(order.as_bytes()).await.expect("sent");
    assert!(heard(&mut slow, "\r\n\r\n").await.starts_with("HTTP/1.1 201 "), "a slow body");
}
