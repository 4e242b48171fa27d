//! Callers with a token: what has to hold of it, and keys that the issuer changes.

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use support::{
    Database,
    issuer::{Issuer, Key, claims},
    server::{Answer, Server},
    until,
};
use tokio::sync::Semaphore;

async fn server(database: &Database, jwks: &Path) -> Server {
    server_with(database, jwks, "10").await
}

/// One that reads the keys again no more often than so.
async fn server_with(database: &Database, jwks: &Path, refresh_min_ms: &str) -> Server {
    let jwks = jwks.to_str().expect("UTF-8");
    let settings = [
        ("auth", "jwt"),
        ("jwt_jwks", jwks),
        ("jwt_issuer", "https://issuer.example"),
        ("jwt_audience", "annals"),
        ("jwt_jwks_refresh_min_ms", refresh_min_ms),
        ("jwt_jwks_refresh_max_ms", "50"),
    ];
    Server::start(database, &settings).await
}

async fn get(server: &Server, token: &str, path: &str) -> Answer {
    Answer::of(server.anonymous(Method::GET, path).bearer_auth(token)).await
}

async fn status(server: &Server, token: &str) -> u16 {
    get(server, token, "/api/nothing").await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_tells_who_calls_and_as_what() {
    let database = Database::new().await;
    let keys = [Key::ec("ec"), Key::ed("ed"), Key::rsa("rsa")];
    let issuer = Issuer::new(&keys.each_ref());
    let server = server(&database, &issuer.path()).await;
    for key in &keys {
        assert_eq!(status(&server, &key.sign(&claims())).await, 404, "{}", key.id);
    }
    let token = keys[0].sign(&claims());
    assert_eq!(get(&server, &token, "/api/admin/keys").await.problem(), "forbidden");
    let order = server.anonymous(Method::POST, "/api/orders").bearer_auth(&token);
    assert_eq!(Answer::of(order.json(&support::server::order())).await.status, 201);
    let event = database.events().await.pop().expect("an event");
    let metadata: Value = event.metadata.parse().expect("JSON");
    assert_eq!(metadata["actor"], "jwt:shop-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_has_to_be_there_and_right() {
    let database = Database::new().await;
    let key = Key::ec("one");
    let issuer = Issuer::new(&[&key]);
    let server = server(&database, &issuer.path()).await;
    let now = Utc::now().timestamp();
    let faults = [
        ("exp", json!(now - 120), "expired"),
        ("nbf", json!(now + 120), "not valid yet"),
        ("iss", json!("https://evil.example"), "another issuer"),
        ("aud", json!("others"), "meant for others"),
        ("sub", json!(""), "`sub`"),
        ("sub", json!("a\nb"), "`sub`"),
        ("sub", json!("x".repeat(201)), "`sub`"),
    ];
    let missing = ["exp", "nbf", "iss", "aud", "sub"].map(|name| (name, Value::Null, ""));
    for (name, value, detail) in faults.into_iter().chain(missing) {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value,
        }
        let answer = get(&server, &key.sign(&claims), "/api/nothing").await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (401, "unauthenticated".into()), "{claims}");
        assert!(answer.json()["detail"].as_str().expect("text").contains(detail), "{name}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_does_not_choose_its_algorithm() {
    let database = Database::new().await;
    let key = Key::ec("one");
    let issuer = Issuer::new(&[&key]);
    let server = server(&database, &issuer.path()).await;
    let base64 = |json: Value| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(json.to_string())
    };
    let none = json!({"alg": "none", "kid": "one"});
    let unsigned = format!("{}.{}.", base64(none), base64(claims()));
    // The public key, taken for a shared secret.
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
    let public = key.public();
    let x = public["x"].as_str().expect("a coordinate");
    let confused = [x.as_bytes().to_vec(), public.to_string().into_bytes()]
        .map(|secret| encode(&header, &claims(), &EncodingKey::from_secret(&secret)).expect("signed"));
    // Another key under a name that is known; no name at all; a signature cut off.
    let impostor = Key::ed("one").sign(&claims());
    let stranger = Key::ec("one").sign(&claims());
    let unnamed = encode(&Header::new(Algorithm::ES256), &claims(), &key.signing).expect("signed");
    let good = key.sign(&claims());
    let cut = good[..good.rfind('.').expect("three parts") + 1].to_owned();
    let odd = ["x.y.z".to_owned(), "annals_x".to_owned(), "..".to_owned()];
    for token in [unsigned, impostor, stranger, unnamed, cut].into_iter().chain(confused).chain(odd) {
        assert_eq!(status(&server, &token).await, 401, "{token}");
    }
    assert_eq!(status(&server, &good).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_and_go_with_their_issuer() {
    let database = Database::new().await;
    let (old, new) = (Key::ec("old"), Key::ed("new"));
    let issuer = Issuer::new(&[&old]);
    let server = server(&database, &issuer.path()).await;
    let tokens = [&old, &new].map(|key| key.sign(&claims()));
    assert_eq!(status(&server, &tokens[0]).await, 404);
    assert_eq!(status(&server, &tokens[1]).await, 401);
    issuer.publish(&[&old, &new]);
    until("the new key counts", || async { status(&server, &tokens[1]).await == 404 }).await;
    assert_eq!(status(&server, &tokens[0]).await, 404);
    issuer.publish(&[&new]);
    until("the old key ends", || async { status(&server, &tokens[0]).await == 401 }).await;
    // With the issuer away, the known keys hold.
    std::fs::remove_file(issuer.path()).expect("removed");
    for _ in 0..20 {
        assert_eq!(status(&server, &tokens[1]).await, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_is_told_that_their_token_is_wrong() {
    let database = Database::new().await;
    let server = server(&database, Path::new("/nonexistent/jwks.json")).await;
    let token = Key::ec("one").sign(&claims());
    for _ in 0..3 {
        let answer = get(&server, &token, "/api/nothing").await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "overloaded"));
    }
}

/// An issuer that answers at a URL, each time once it is let.
async fn issuer_at_a_url(key: &Key, lets: Arc<Semaphore>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let set = json!({"keys": [key.public()]}).to_string();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{set}", set.len());
    let issuer = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/jwks", issuer.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = issuer.accept().await {
            lets.acquire().await.expect("open").forget();
            let _ = connection.read(&mut [0; 1_024]).await;
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_from_a_url() {
    let database = Database::new().await;
    let key = Key::ec("one");
    let url = issuer_at_a_url(&key, Arc::new(Semaphore::new(100))).await;
    let server = server(&database, Path::new(&url)).await;
    assert_eq!(status(&server, &key.sign(&claims())).await, 404);
    assert_eq!(status(&server, &Key::ec("two").sign(&claims())).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_does_not_call_the_fetch_off() {
    let database = Database::new().await;
    let (key, lets) = (Key::ec("one"), Arc::new(Semaphore::new(0)));
    let url = issuer_at_a_url(&key, lets.clone()).await;
    // One fetch is all there is within the test.
    let server = server_with(&database, Path::new(&url), "600000").await;
    let token = key.sign(&claims());
    let asked = server.anonymous(Method::GET, "/api/nothing").bearer_auth(&token);
    let hung_up = asked.timeout(Duration::from_millis(300)).send().await;
    assert!(hung_up.is_err_and(|error| error.is_timeout()), "the issuer has not answered");
    lets.add_permits(1);
    until("the keys are there", || async { status(&server, &token).await == 404 }).await;
}
