//! The API on the wire: commands take effect once, answers carry what they promise. What is refused: `refusals.rs`.

mod support;

use std::sync::Arc;

use futures_util::{FutureExt, future::join_all};
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
async fn an_order_goes_its_way() {
    let (database, server) = server().await;
    let created = server.post("/api/orders", &order()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let id = created.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(created.json(), json!({"id": id, "status": "created"}));
    assert_eq!(created.header("location"), Some(format!("/api/orders/{id}").as_str()));
    assert_eq!(created.header("etag"), Some("\"1\""));
    assert!(created.header("consistency-token").is_some_and(|token| token.len() == 32));
    assert!(created.header("x-correlation-id").is_some_and(|id| id.parse::<Uuid>().is_ok()));
    assert_eq!(created.header("idempotency-replayed"), None);

    let steps = [
        ("items", order(), "created"),
        ("confirm", json!({}), "confirmed"),
        ("pay", json!({"amount": 9, "reference": "r"}), "paid"),
        ("ship", json!({"carrier": "c", "tracking": "t"}), "shipped"),
        ("deliver", json!({}), "delivered"),
        ("refund", json!({"amount": 1.5, "reason": "x"}), "delivered"),
        ("refund", json!({"amount": 7.5, "reason": "x"}), "refunded"),
    ];
    for (version, (step, body, status)) in (2..).zip(steps) {
        let changed = server.post(&format!("/api/orders/{id}/{step}"), &body).await;
        assert_eq!(changed.json(), json!({"id": id, "status": status, "version": version}), "{step}");
        assert_eq!(changed.header("etag"), Some(format!("\"{version}\"").as_str()));
    }
    assert_eq!(database.events().await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_and_counters_too() {
    let (_database, server) = server().await;
    let created = server.post("/api/projects", &json!({"name": " Apollo "})).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let path = created.header("location").expect("a location").to_owned();
    let taken = server.post("/api/projects", &json!({"name": "APOLLO"})).await;
    assert_eq!((taken.problem().as_str(), taken.faults()), ("validation-failed", vec!["/name".to_owned()]));
    let body = json!({"id": Uuid::nil(), "name": "Gemini", "description": " "});
    let changed = Answer::of(server.request(Method::PUT, &path).json(&body)).await;
    let expected = json!({"id": created.json()["id"], "name": "Gemini", "description": null, "version": 2});
    assert_eq!(changed.json(), expected);
    let gone = Answer::of(server.request(Method::DELETE, &path)).await;
    assert_eq!((gone.status, gone.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(Answer::of(server.request(Method::DELETE, &path)).await.problem(), "not-found");

    let created = server.post("/api/counters", &json!({"code": "1234"})).await;
    assert_eq!(created.json()["counter"], 0, "{created:?}");
    let path = created.header("location").expect("a location").to_owned();
    let increment = |by: Value| post(&server, format!("{path}/increment"), by);
    assert_eq!(increment(json!({"by": 4})).await.json(), json!({"counter": 4}));
    let bare = Answer::of(server.request(Method::POST, &format!("{path}/increment"))).await;
    assert_eq!(bare.json(), json!({"counter": 5}), "an empty body is `{{}}`");
    let submit = |code: Value| post(&server, format!("{path}/submit-code"), code);
    assert_eq!(submit(json!({})).await.faults(), ["/code"]);
    assert_eq!(submit(json!({"code": 1234})).await.faults(), ["/code"]);
    assert_eq!(submit(json!({"code": "4321"})).await.problem(), "rejected");
    assert_eq!(submit(json!({"code": "1234"})).await.json(), json!({"counter": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_twins_get_one_answer() {
    let (database, server) = server().await;
    let path = server.create_order().await;
    for (target, status) in [("/api/orders".to_owned(), 201), (format!("{path}/confirm"), 200)] {
        let before = database.events().await.len();
        let twins = (0..50).map(|twin| {
            let key = if twin % 2 == 0 { format!("{status}") } else { format!("\"{status}\"") };
            let request = server.request(Method::POST, &target).header("idempotency-key", key);
            Answer::of(request.header("x-correlation-id", format!("twin-{twin}")).json(&order()))
        });
        let answers = join_all(twins).await;
        assert_eq!(database.events().await.len(), before + 1, "one effect");
        let first = answers.iter().find(|answer| answer.header("idempotency-replayed").is_none());
        let first = first.expect("one is the first").clone();
        for answer in &answers {
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.text, first.text);
            for header in ["etag", "location", "consistency-token", "x-correlation-id"] {
                assert_eq!(answer.header(header), first.header(header), "{header}");
            }
        }
        assert_eq!(
            answers.iter().filter(|answer| answer.header("idempotency-replayed") == Some("true")).count(),
            49
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request_and_rejections_are_replayed() {
    let (_database, server) = server().await;
    let path = server.create_order().await;
    let send = |step: &str, key: &str, body: Value| {
        let request = server.request(Method::POST, &format!("{path}/{step}")).header("idempotency-key", key);
        Answer::of(request.json(&body))
    };
    let first = send("deliver", "a", json!({})).await;
    assert_eq!((first.problem().as_str(), first.header("idempotency-replayed")), ("rejected", None));
    assert_eq!(send("confirm", "b", json!({})).await.status, 200);
    let again = send("deliver", "a", json!({})).await;
    assert_eq!(again.json(), first.json(), "it was true then");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("x-correlation-id"), first.header("x-correlation-id"));
    let reused = send("cancel", "a", json!({"reason": "x"})).await;
    assert_eq!((reused.status.as_u16(), reused.problem().as_str()), (422, "idempotency-key-reused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn if_match_guards_a_change() {
    let (_database, server) = server().await;
    let path = server.create_order().await;
    let confirm = |tags: &'static str| {
        Answer::of(
            server
                .request(Method::POST, &format!("{path}/confirm"))
                .header("if-match", tags)
                .json(&json!({})),
        )
    };
    for stale in ["\"2\"", "W/\"1\"", "\"0\", \"7\"", "\"one\""] {
        let answer = confirm(stale).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (412, "version-mismatch"), "{stale}");
        assert_eq!(answer.json()["actual_version"], 1);
    }
    assert_eq!(confirm("1").await.faults(), ["If-Match"]);
    assert_eq!(confirm("\"7\", \"1\"").await.header("etag"), Some("\"2\""));
    assert_eq!(confirm("*").await.problem(), "rejected", "any version is matched; the state is the reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found_whatever_version_is_wanted() {
    let (_database, server) = server().await;
    let made = server.post("/api/projects", &json!({"name": "a"})).await;
    let path = made.header("location").expect("made").to_owned();
    let delete = || Answer::of(server.request(Method::DELETE, &path).header("if-match", "\"1\""));
    assert_eq!(delete().await.status, 204);
    assert_eq!(delete().await.problem(), "not-found");
    let unknown = server.request(Method::DELETE, "/api/projects/01990000-0000-7000-8000-000000000000");
    assert_eq!(Answer::of(unknown.header("if-match", "\"3\"")).await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_safe_and_traceable() {
    let (_database, server) = server().await;
    for path in ["/health/live", "/docs", "/api/nothing", "/openapi.json"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(
            answer
                .header("content-security-policy")
                .is_some_and(|policy| policy.starts_with("default-src 'none'"))
        );
        assert!(answer.header("x-correlation-id").is_some());
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let kept = server.request(Method::GET, "/api/nothing").header("x-correlation-id", "mine-1");
    assert_eq!(Answer::of(kept).await.header("x-correlation-id"), Some("mine-1"));
    let long = "x".repeat(201);
    for odd in ["a b", long.as_str()] {
        let request = server.request(Method::GET, "/api/nothing").header("x-correlation-id", odd);
        assert!(
            Answer::of(request).await.header("x-correlation-id").is_some_and(|id| id.parse::<Uuid>().is_ok())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_named_origins_may_call() {
    let database = Database::new().await;
    let server = Server::start(&database, &[("cors_origins", "https://shop.example")]).await;
    let preflight = |origin| {
        let request = server.anonymous(Method::OPTIONS, "/api/orders").header("origin", origin);
        Answer::of(request.header("access-control-request-method", "POST"))
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(
        allowed.header("access-control-allow-headers").is_some_and(|names| names.contains("Idempotency-Key"))
    );
    let refused = preflight("https://other.example").await;
    assert_eq!(
        (refused.problem().as_str(), refused.header("access-control-allow-origin")),
        ("unauthenticated", None)
    );
    let called = server.request(Method::GET, "/api/nothing").header("origin", "https://shop.example");
    assert_eq!(Answer::of(called).await.header("access-control-allow-origin"), Some("https://shop.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_answers_anyone() {
    let (_database, server) = server().await;
    let get = |path: &str| Answer::of(server.anonymous(Method::GET, path));
    assert_eq!(get("/health/live").await.json(), json!({"status": "up"}));
    assert_eq!(
        get("/health/ready").await.json(),
        json!({"status": "up", "dependencies": {"postgres": {"status": "up"}}})
    );
    assert_eq!(get("/metrics").await.status, 200);
    assert_eq!(get("/openapi.json").await.json()["openapi"], "3.0.3");
    let docs = get("/docs").await.text;
    assert!(docs.contains("\"Problem503\""), "the page holds the finished document");
    assert!(!docs.contains("<script src") && !docs.contains("<link"), "nothing comes from outside");
    for line in get("/problems").await.text.lines().filter(|line| line.starts_with("- ")) {
        let (_, rest) = line.split_once("](").expect("a link");
        let (path, _) = rest.split_once(')').expect("a link");
        let page = get(path).await;
        assert!(page.status == 200 && page.text.contains("## What to do"), "{path}");
    }
    assert_eq!(get("/problems/other").await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_panic_reaches_a_client() {
    let database = Database::new().await;
    let panics = Arc::new(|| async { panic!("a secret of the inside") }.boxed());
    let server = Server::with_health(&database, &[], panics).await;
    let answer = server.get("/health/ready").await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (500, "internal"));
    assert!(answer.json()["id"].as_str().is_some_and(|id| id.parse::<Uuid>().is_ok()));
    assert!(!answer.text.contains("secret"));
    assert_eq!(server.get("/health/live").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ending_server_answers_what_it_took_on() {
    let (database, mut server) = server().await;
    // A request that it has not begun to read may find the connection closed; one that took effect is answered.
    let creating = (0..20).map(|_| attempt(&server, order_of_many_items()));
    let (statuses, ()) = tokio::join!(join_all(creating), async {
        support::until("the server has work", || async { !database.events().await.is_empty() }).await;
        server.shutdown.cancel();
    });
    let answered: Vec<_> = statuses.into_iter().flatten().collect();
    assert!(answered.iter().all(|status| *status == StatusCode::CREATED), "{answered:?}");
    (&mut server.running).await.expect("no panic");
    assert_eq!(answered.len(), database.events().await.len());
    assert!(reqwest::get(format!("http://{}/health/live", server.address)).await.is_err());
}

/// The status of the answer; `None` where the request was not taken.
async fn attempt(server: &Server, body: Value) -> Option<StatusCode> {
    let request = reqwest::Client::new().post(format!("http://{}/api/orders", server.address));
    let request = request.bearer_auth("dev-consumer").header("Content-Type", "application/json");
    let response = request.body(body.to_string()).send().await.ok()?;
    let status = response.status();
    response.text().await.expect("the answer is whole");
    Some(status)
}

fn order_of_many_items() -> Value {
    let items: Vec<_> = (0..1_000).map(|n| json!({"sku": format!("sku-{n}"), "quantity": 1})).collect();
    json!({"customer_id": "c", "items": items, "total": 1})
}

async fn post(server: &Server, path: String, body: Value) -> Answer {
    server.post(&path, &body).await
}
