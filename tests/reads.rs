//! Reads on the wire: one's own writes, pages, what is refused; and commands that are done later.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Database,
    server::{Answer, Server, order},
    until,
};
use uuid::Uuid;

async fn server() -> (Database, Server) {
    let database = Database::new().await;
    let server = Server::start(&database, &[]).await;
    (database, server)
}

fn token(answer: &Answer) -> String {
    answer.header("consistency-token").expect("a token").to_owned()
}

async fn read(server: &Server, path: &str, token: &str) -> Answer {
    let request = server.request(Method::GET, path).header("consistency-token", token);
    Answer::of(request.header("prefer", "wait=30")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_the_token_of_a_write_sees_it() {
    let (_database, server) = server().await;
    let created = server.post_text("/api/orders", r#"{"customer_id":"c","items":[{"sku":"a","quantity":1,"unit_price":90071992547409.93}],"total":90071992547409.93}"#).await;
    let path = created.header("location").expect("a location");
    let order = read(&server, path, &token(&created)).await;
    assert_eq!(order.status, StatusCode::OK, "{order:?}");
    assert!(
        order.text.contains("\"total\": 90071992547409.93")
            || order.text.contains("\"total\":90071992547409.93")
    );
    assert_eq!(order.header("etag"), Some("\"1\""));
    assert_eq!(order.header("annals-generation"), Some("1"));
    assert_eq!(order.header("annals-parked"), None);
    assert!(order.header("annals-position").is_some());
    let json = order.json();
    let members: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "created_at",
        "customer_id",
        "external_id",
        "id",
        "items",
        "paid",
        "refunded",
        "status",
        "total",
        "updated_at",
        "version",
    ];
    assert_eq!(members, expected);
    assert_eq!((&json["status"], &json["external_id"]), (&json!("created"), &Value::Null));

    let confirmed = server.post(&format!("{path}/confirm"), &json!({})).await;
    let in_query = format!("{path}?consistency_token={}", token(&confirmed));
    let answer = Answer::of(server.request(Method::GET, &in_query).header("prefer", "wait=30")).await;
    assert_eq!(answer.json()["status"], "confirmed");

    let unknown = format!("/api/orders/{}", Uuid::now_v7());
    assert_eq!(read(&server, &unknown, &token(&confirmed)).await.problem(), "not-found");
    assert_eq!(read(&server, "/api/orders/abc", &token(&confirmed)).await.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_tokens_are_refused_at_once() {
    let (_database, server) = server().await;
    let ours = token(&server.post("/api/orders", &order()).await);
    let other = {
        let (_database, server) = self::server().await;
        let created = server.post("/api/orders", &order()).await;
        token(&created)
    };
    // The last character holds the lowest bits of the position: 63.
    let beyond = format!("{}_", &ours[..31]);
    for odd in ["", "abc", "A", &"x".repeat(300), other.as_str(), beyond.as_str()] {
        let answer = read(&server, "/api/orders", odd).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, "malformed"), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_lags_says_so() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let created = server.post("/api/orders", &order()).await;
    let path = created.header("location").expect("a location");
    let request = server.request(Method::GET, path).header("consistency-token", token(&created));
    let behind = Answer::of(request.header("prefer", "wait=0")).await;
    assert_eq!((behind.status.as_u16(), behind.problem().as_str()), (503, "projection-behind"));
    assert!(behind.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_sorted_and_continued() {
    let (_database, server) = server().await;
    let mut last = String::new();
    for number in 0..7 {
        let mut body = order();
        body["customer_id"] = if number < 5 { "a&b" } else { "c" }.into();
        last = token(&server.post("/api/orders", &body).await);
    }
    let path = "/api/orders?customer_id=a%26b&status=created&sort=-created_at,id&limit=2";
    let mut seen = walk(path, "id", async |path| read(&server, &path, &last).await).await;
    assert_eq!(seen.len(), 5);
    seen.sort_by_key(Value::to_string);
    seen.dedup();
    assert_eq!(seen.len(), 5, "no row twice");
}

/// The values of a member on all pages of a list, in its order, and how each page leads to the next.
async fn walk(path: &str, member: &str, get: impl AsyncFn(String) -> Answer) -> Vec<Value> {
    let (mut path, mut seen) = (path.to_owned(), Vec::new());
    loop {
        let page = get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let json = page.json();
        seen.extend(json["items"].as_array().expect("items").iter().map(|item| item[member].clone()));
        let Some(link) = page.header("link") else {
            assert_eq!(json["next"], Value::Null);
            return seen;
        };
        assert!(json["next"].is_string());
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        path = next.expect("next").to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_has_pages() {
    let (_database, server) = server().await;
    let by = async |key: &str, path: String| {
        Answer::of(server.anonymous(Method::GET, &path).bearer_auth(key)).await
    };
    let post = |path: &str, body: Value| {
        Answer::of(server.anonymous(Method::POST, path).bearer_auth("dev-admin").json(&body))
    };
    let mut made = Vec::new();
    for name in ["one", "two", "three"] {
        let key = post("/api/admin/keys", json!({"name": name, "roles": ["consumer"]})).await;
        made.push(key.json()["id"].clone());
    }
    let keys = walk("/api/admin/keys?limit=2", "id", async |path| by("dev-admin", path).await).await;
    assert_eq!(keys, made, "oldest first");
    let names: Vec<Value> =
        ["counters", "customer_summary", "daily_revenue", "order_timeline", "orders", "projects"]
            .map(Value::from)
            .into();
    let all = walk("/api/read-models?limit=4", "name", async |path| by("dev-consumer", path).await).await;
    assert_eq!(all, names);
    let path = "/api/admin/projections?limit=5";
    until("each has a generation", async || {
        walk(path, "name", async |path| by("dev-admin", path).await).await == names
    })
    .await;
    let mut rebuilds = Vec::new();
    for _ in 0..3 {
        let begun = post("/api/admin/projections/projects/rebuilds", json!({})).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
        let path = begun.header("location").expect("a location");
        assert_eq!(post(&format!("{path}/cancel"), json!({})).await.status, StatusCode::OK);
        rebuilds.insert(0, begun.json()["id"].clone());
    }
    let path = "/api/admin/projections/projects/rebuilds?limit=1";
    let listed = walk(path, "id", async |path| by("dev-admin", path).await).await;
    assert_eq!(listed, rebuilds, "newest first");
    for path in ["/api/admin/keys", "/api/admin/projections", path, "/api/read-models"] {
        let key = if path.contains("admin") { "dev-admin" } else { "dev-consumer" };
        let separator = if path.contains('?') { '&' } else { '?' };
        let odd = by(key, format!("{path}{separator}cursor=%25")).await;
        assert_eq!((odd.status.as_u16(), odd.problem().as_str()), (400, "malformed"), "{path}");
        let most = by(key, format!("{}?limit=501", path.split('?').next().expect("a path"))).await;
        assert_eq!(most.faults(), ["limit"], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_changes_nothing_has_a_token_too() {
    let (_database, server) = server().await;
    let made = server.post("/api/projects", &json!({"name": "a"})).await;
    let path = made.header("location").expect("a location").to_owned();
    let put = |key: &'static str| {
        let request = server.request(Method::PUT, &path).header("idempotency-key", key);
        Answer::of(request.json(&json!({"name": "a"})))
    };
    let (same, again) = (put("k").await, put("k").await);
    assert_eq!(token(&same), token(&made), "what it was decided on");
    assert_eq!(token(&again), token(&made));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(read(&server, &path, &token(&same)).await.json()["name"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_answered_says_why() {
    let (_database, server) = server().await;
    let last = token(&server.post("/api/orders", &order()).await);
    let path = "/api/read-models/daily_revenue/queries/rolling?days=3660&from=4713-11-24%20BC";
    let before_time = read(&server, path, &last).await;
    assert_eq!((before_time.status.as_u16(), before_time.problem().as_str()), (422, "validation-failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_take_what_the_folder_allows() {
    let (_database, server) = server().await;
    let last = token(&server.post("/api/orders", &order()).await);
    let total = |condition: &str| format!("/api/orders?total.{condition}");
    assert_eq!(read(&server, &total("gte=9"), &last).await.json()["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(read(&server, &total("lt=9"), &last).await.json()["items"], json!([]));
    for (query, faults) in [
        ("limit=0", &["limit"][..]),
        ("limit=501", &["limit"]),
        ("limit=x", &["limit"]),
        ("status=lost", &["status"]),
        ("paid=1", &["paid"]),
        ("sort=paid", &["sort"]),
        ("total.gte=much", &["total.gte"]),
        ("limit=0&paid=1&total.gte=much&sort=id,paid", &["limit", "sort", "paid", "total.gte"]),
    ] {
        let answer = read(&server, &format!("/api/orders?{query}"), &last).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (422, "validation-failed"),
            "{query}"
        );
        assert_eq!(answer.faults(), faults, "{query}");
    }
    for odd in ["cursor=abc", "limit=0&cursor=abc&sort=paid"] {
        let cursor = read(&server, &format!("/api/orders?{odd}"), &last).await;
        assert_eq!((cursor.status.as_u16(), cursor.problem().as_str()), (400, "malformed"), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_folder_is_found_by_its_name() {
    let (_database, server) = server().await;
    let created = server.post("/api/projects", &json!({"name": "Apollo"})).await;
    let token = token(&created);
    let models = server.get("/api/read-models").await.json();
    let names: Vec<_> =
        models["items"].as_array().expect("items").iter().map(|model| model["name"].clone()).collect();
    assert!(names.contains(&json!("orders")) && names.contains(&json!("projects")), "{names:?}");
    let id = created.json()["id"].as_str().expect("an id").to_owned();
    let row = read(&server, &format!("/api/read-models/projects/{id}"), &token).await;
    assert_eq!((row.json()["name"].as_str(), row.header("etag")), (Some("Apollo"), Some("\"1\"")));
    let page = read(&server, "/api/read-models/projects?name=Apollo", &token).await;
    assert_eq!(page.json()["items"][0]["id"], id);
    let found = read(&server, "/api/read-models/projects/queries/search?text=pol", &token).await;
    assert_eq!(found.json()["items"][0]["id"], id, "{found:?}");
    assert_eq!(found.json()["next"], Value::Null);
    let missing = read(&server, "/api/read-models/projects/queries/search", &token).await;
    assert_eq!(
        (missing.problem().as_str(), missing.faults()),
        ("validation-failed", vec!["text".to_owned()])
    );
    for path in [
        "nothing",
        "nothing/1",
        "%00",
        "%00/1",
        "%00/queries/search",
        "projects/1",
        "projects/queries/none",
        "projects/queries/none/x",
    ] {
        assert_eq!(
            read(&server, &format!("/api/read-models/{path}"), &token).await.problem(),
            "not-found",
            "{path}"
        );
    }
    let document = Answer::of(server.anonymous(Method::GET, "/openapi.json")).await.json();
    assert!(document["paths"]["/api/read-models/projects/queries/search"]["get"].is_object());
    assert_eq!(
        document["components"]["schemas"]["ProjectsRow"]["properties"]["description"]["nullable"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_may_be_done_later() {
    let (database, server) = server().await;
    let accept = |key: &'static str, body: Value| {
        let request = server.request(Method::POST, "/api/orders").header("prefer", "respond-async");
        Answer::of(request.header("idempotency-key", key).json(&body))
    };
    let accepted = accept("a", order()).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    assert_eq!(accepted.header("preference-applied"), Some("respond-async"));
    assert_eq!(accepted.json()["status"], "pending");
    let path = accepted.header("location").expect("a location").to_owned();
    support::until("it is done", || async { server.get(&path).await.json()["status"] == "done" }).await;
    let done = server.get(&path).await.json();
    assert_eq!(done["command_id"], accepted.json()["command_id"]);
    assert_eq!(done["result"]["status"], "created");
    let location = done["location"].as_str().expect("a location");
    let order = read(&server, location, done["consistency_token"].as_str().expect("a token")).await;
    assert_eq!(order.json()["status"], "created");
    assert_eq!(accept("b", json!({"customer_id": 1})).await.faults(), ["/customer_id", "/items", "/total"]);

    let ship = server.request(Method::POST, &format!("{location}/ship")).header("prefer", "respond-async");
    let accepted = Answer::of(ship.json(&json!({"carrier": "c", "tracking": "t"}))).await;
    let path = accepted.header("location").expect("a location").to_owned();
    support::until("it is decided", || async { server.get(&path).await.json()["status"] == "rejected" })
        .await;
    let rejected = server.get(&path).await.json();
    assert_eq!(
        (&rejected["problem"]["status"], &rejected["problem"]["state"]),
        (&json!(409), &json!("created"))
    );
    for nothing in [Uuid::now_v7().to_string(), "abc".to_owned()] {
        assert_eq!(server.get(&format!("/api/commands/{nothing}")).await.problem(), "not-found");
    }
    assert_eq!(database.events().await.len(), 1);
}
