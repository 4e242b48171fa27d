//! The API on the wire: what is refused, how, and that nothing is ever half written.

mod support;

use futures_util::stream;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Database,
    server::{Answer, Server, order},
};
use uuid::Uuid;

async fn server() -> (Database, Server) {
    let database = Database::new().await;
    let server = Server::start(&database, &[]).await;
    (database, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_with_every_fault() {
    let (database, server) = server().await;
    for malformed in ["", "{", "null,", "{\"total\": NaN}", "{\"customer_id\": \"\\ud83d\"}", "\u{feff}{}"] {
        assert_eq!(server.post_text("/api/orders", malformed).await.problem(), "malformed", "{malformed:?}");
    }
    let invalid_utf8 = server.request(Method::POST, "/api/orders").header("content-type", "application/json");
    assert_eq!(
        Answer::of(invalid_utf8.body(b"{\"customer_id\": \"\xff\"}".to_vec())).await.problem(),
        "malformed"
    );

    let item = |item: &str| format!(r#"{{"customer_id":"c","items":[{item}],"total":1}}"#);
    let total = |total: &str| {
        format!(r#"{{"customer_id":"c","items":[{{"sku":"a","quantity":1}}],"total":{total}}}"#)
    };
    let long = "x".repeat(101);
    for (body, faults) in [
        ("{}".to_owned(), vec!["/customer_id", "/items", "/total"]),
        ("[]".to_owned(), vec![""]),
        (
            r#"{"customer_id":" ","items":[],"total":"1"}"#.to_owned(),
            vec!["/customer_id", "/items", "/total"],
        ),
        (r#"{"customer_id":7,"items":{},"total":null}"#.to_owned(), vec!["/customer_id", "/items", "/total"]),
        (
            item(r#"{"sku":"a","quantity":0},{"quantity":1.5},null"#),
            vec!["/items/0/quantity", "/items/1/quantity", "/items/1/sku", "/items/2"],
        ),
        (
            item(&format!(r#"{{"sku":"{long}","quantity":1000001,"unit_price":-1}}"#)),
            vec!["/items/0/quantity", "/items/0/sku", "/items/0/unit_price"],
        ),
        (item(r#"{"sku":"a\u0000b","quantity":1}"#), vec!["/items/0/sku"]),
        (item(r#"{"sku":"a","quantity":2,"unit_price":0.30}"#), vec!["/total"]),
        (total("-0.01"), vec!["/total"]),
        (total("1.234"), vec!["/total"]),
        (total("0.30000000000000004"), vec!["/total"]),
        (total("1e400"), vec!["/total"]),
        (total("1e100000"), vec!["/total"]),
        (total("100000000000000"), vec!["/total"]),
        (total("\"NaN\""), vec!["/total"]),
        (total("true"), vec!["/total"]),
    ] {
        let answer = server.post_text("/api/orders", &body).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (422, "validation-failed"), "{body}");
        assert_eq!(answer.faults(), faults, "{body}");
    }
    assert!(database.events().await.is_empty(), "nothing is ever half written");

    for exact in ["0.29", "1.15", "19.99", "99999999999999.99", "90071992547409.93", "0"] {
        let answer = server.post_text("/api/orders", &total(exact)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{exact} {answer:?}");
        let event = database.events().await.pop().expect("an event");
        let stored: Value = event.data.parse().expect("JSON");
        let padded = if exact.contains('.') { exact.to_owned() } else { format!("{exact}.00") };
        assert_eq!(stored["total"].to_string(), padded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_beyond_the_schema_is_told_with_the_others() {
    let (_database, server) = server().await;
    let body = json!({"name": "n".repeat(26), "description": "d".repeat(101)});
    assert_eq!(server.post("/api/projects", &body).await.faults(), ["/description", "/name"]);
    let body = order().to_string();
    let request = server.request(Method::POST, "/api/orders").header("idempotency-key", "");
    let request = request.header("if-match", "3").header("content-type", "application/json");
    let answer = Answer::of(request.body(body.replace("\"c-1\"", "null"))).await;
    assert_eq!(answer.faults(), ["Idempotency-Key", "If-Match", "/customer_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_ids_and_wrong_states_are_told_apart() {
    let (_database, server) = server().await;
    for id in [Uuid::now_v7().to_string(), "abc".to_owned(), "%00".to_owned(), "%ff".to_owned()] {
        let answer = server.post(&format!("/api/orders/{id}/confirm"), &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "not-found"), "{id}");
    }
    let path = server.create_order().await;
    let shipped = server.post(&format!("{path}/ship"), &json!({"carrier": "c", "tracking": "t"})).await;
    assert_eq!((shipped.status.as_u16(), shipped.problem().as_str()), (409, "rejected"));
    assert_eq!(shipped.json()["state"], "created");
    assert_eq!(shipped.json()["allowed"], json!(["items", "confirm", "cancel"]));
    assert_eq!(shipped.json()["instance"], format!("{path}/ship"));
}

#[tokio::test(flavor = "multi_thread")]
async fn size_and_type_are_checked_before_the_body_is_read() {
    let database = Database::new().await;
    let server = Server::start(&database, &[("body_limit", "2048")]).await;
    let large = "x".repeat(3_000);
    assert_eq!(server.post_text("/api/orders", &large).await.problem(), "too-large");
    assert_eq!(server.post_text("/api/orders", &"x".repeat(3 << 20)).await.problem(), "too-large");
    let chunks = || stream::iter((0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(1_000))));
    let chunked = |content_type| {
        let request = server.request(Method::POST, "/api/orders").header("content-type", content_type);
        Answer::of(request.body(reqwest::Body::wrap_stream(chunks())))
    };
    assert_eq!(chunked("application/json").await.problem(), "too-large");
    assert_eq!(chunked("application/xml").await.problem(), "unsupported-media-type");
    for content_type in [
        "text/plain",
        "application/jsonp",
        "application/problem+json",
        "",
        "application/x-www-form-urlencoded",
    ] {
        let request = server.request(Method::POST, "/api/orders").header("content-type", content_type);
        let answer = Answer::of(request.body(order().to_string())).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (415, "unsupported-media-type"));
    }
    let none = Answer::of(server.request(Method::POST, "/api/orders").body(order().to_string())).await;
    assert_eq!(none.problem(), "unsupported-media-type");
    for content_type in ["application/json; charset=utf-8", "Application/JSON ;charset=\"utf-8\""] {
        let request = server.request(Method::POST, "/api/orders").header("content-type", content_type);
        assert_eq!(Answer::of(request.body(order().to_string())).await.status, StatusCode::CREATED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there() {
    let (_database, server) = server().await;
    for path in ["/api/nothing", "/api/orders/", "/nothing", "/", "/api", "//api/orders", "/api/orders/a/b/c"]
    {
        assert_eq!(server.get(path).await.problem(), "not-found", "{path}");
    }
    let path = format!("/api/orders/{}/confirm", Uuid::now_v7());
    for (method, path, allow) in [
        (Method::GET, path.as_str(), "POST"),
        (Method::PATCH, "/api/orders/x/items", "POST"),
        (Method::POST, "/health/live", "GET, HEAD"),
    ] {
        let answer = Answer::of(server.request(method, path)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (405, "method-not-allowed"),
            "{path}"
        );
        assert_eq!(answer.header("allow"), Some(allow));
    }
}
