//! Who may call: roles by path, keys made, expired and revoked.

mod support;

use std::{fmt::Debug, time::Duration};

use annals::api::auth::{Error, Role, keys};
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::json;
use support::{
    Database,
    keys::Keys,
    server::{Answer, Server},
    until,
};
use uuid::Uuid;

const PATHS: [&str; 3] = ["/api/nothing", "/api/admin/nothing", "/api/audit/nothing"];

async fn status(server: &Server, key: &str, path: &str) -> u16 {
    let answer = Answer::of(server.anonymous(Method::GET, path).bearer_auth(key)).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_asks_for_the_role_before_anything_is_looked_at() {
    let database = Database::new().await;
    let server = Server::start(&database, &[]).await;
    for (key, expected) in [
        ("dev-consumer", [404, 403, 403]),
        ("dev-admin", [403, 404, 403]),
        ("dev-auditor", [403, 403, 404]),
        ("dev-owner", [401, 401, 401]),
    ] {
        for (path, expected) in PATHS.into_iter().zip(expected) {
            assert_eq!(status(&server, key, path).await, expected, "{key} {path}");
        }
    }
    for path in PATHS {
        let answer = Answer::of(server.anonymous(Method::DELETE, path)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (401, "unauthenticated"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    // Neither a large body nor a wrong type nor a wrong method comes before it.
    let request = server.anonymous(Method::PATCH, "/api/orders").header("content-type", "x/y");
    assert_eq!(Answer::of(request.body("x".repeat(3 << 20))).await.problem(), "unauthenticated");
    let request = server.anonymous(Method::PATCH, "/api/orders").bearer_auth("dev-admin");
    assert_eq!(Answer::of(request).await.problem(), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_until_it_is_revoked() {
    let database = Database::new().await;
    let keys = Keys::of(&database).await;
    let pool = database.pool();
    let settings = [("auth", "keys"), ("api_key_memory_ms", "50")];
    let servers = [Server::start(&database, &settings).await, Server::start(&database, &settings).await];
    let (key, secret) = keys.make(" shop ", &[Role::Consumer, Role::Admin], None).await.expect("made");
    assert_eq!((key.name.as_str(), key.roles.as_slice()), ("shop", [Role::Admin, Role::Consumer].as_slice()));
    let secret = secret.expose_secret();
    assert!(secret.starts_with("annals_") && secret.len() == 50, "{secret}");
    for (path, expected) in PATHS.into_iter().zip([404, 404, 403]) {
        assert_eq!(status(&servers[0], secret, path).await, expected, "{path}");
    }
    let wrong = secret.replacen(&secret[10..12], "zz", 1);
    for wrong in [wrong.as_str(), "dev-consumer", "annals_", "annals_x", &secret[..49]] {
        assert_eq!(status(&servers[0], wrong, PATHS[0]).await, 401, "{wrong}");
    }

    let order = servers[1].anonymous(Method::POST, "/api/orders").bearer_auth(secret);
    let order = Answer::of(order.json(&support::server::order())).await;
    assert_eq!(order.status, 201);
    let event = database.events().await.pop().expect("an event");
    let metadata: serde_json::Value = event.metadata.parse().expect("JSON");
    assert_eq!(metadata["actor"], format!("key:{}", key.id));

    assert!(keys::list(&pool, None, 10).await.expect("listed")[0].last_used_at.is_some());
    assert!(keys.revoke(key.id).await);
    assert!(!keys.revoke(key.id).await, "only once");
    for server in &servers {
        until("every process refuses it", || async { status(server, secret, PATHS[0]).await == 401 }).await;
    }
    let listed = keys::list(&pool, None, 10).await.expect("listed");
    assert_eq!(listed.iter().map(|key| key.revoked_at.is_some()).collect::<Vec<_>>(), [true]);
    let dump = database.client().await.query("select k::text from log.api_keys k", &[]).await.expect("rows");
    assert!(dump.iter().all(|row| !row.get::<_, &str>(0).contains(&secret[7..])), "the key is kept nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_end_by_itself() {
    let database = Database::new().await;
    let keys = Keys::of(&database).await;
    let settings = [("auth", "keys"), ("api_key_memory_ms", "50")];
    let server = Server::start(&database, &settings).await;
    let expiry = Utc::now() + TimeDelta::milliseconds(700);
    let (_, brief) = keys.make("brief", &[Role::Consumer], Some(expiry)).await.expect("made");
    assert_eq!(status(&server, brief.expose_secret(), PATHS[0]).await, 404);
    until("it expires", || async { status(&server, brief.expose_secret(), PATHS[0]).await == 401 }).await;
}

/// Where what was asked for is at fault.
fn faults<T: Debug>(made: Result<T, Error>) -> Vec<String> {
    match made {
        Err(Error::Unfit(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_are_not_made() {
    let database = Database::new().await;
    let keys = Keys::of(&database).await;
    let pool = database.pool();
    let past = Utc::now() - Duration::from_secs(1);
    let long = "n".repeat(101);
    for name in ["", "  ", "a\nb", long.as_str()] {
        assert_eq!(faults(keys.make(name, &[Role::Admin], None).await), ["/name"], "{name}");
    }
    assert_eq!(faults(keys.make("", &[], Some(past)).await), ["/name", "/roles", "/expires_at"]);
    assert!(!keys.revoke(Uuid::now_v7()).await);
    assert_eq!(json!(keys::list(&pool, None, 10).await.expect("listed").len()), json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_often_is_told_when_to_come_again() {
    let database = Database::new().await;
    let keys = Keys::of(&database).await;
    let settings = [("auth", "keys"), ("api_requests_per_second", "1"), ("api_failures_per_minute", "2")];
    let server = Server::start(&database, &settings).await;
    let get = |key: &str| Answer::of(server.anonymous(Method::GET, PATHS[0]).bearer_auth(key));
    for expected in [401, 401, 429] {
        assert_eq!(get("annals_guess").await.status.as_u16(), expected);
    }
    let late = get("annals_guess").await;
    assert_eq!((late.problem().as_str(), late.header("www-authenticate")), ("too-many-requests", None));
    let seconds: u64 = late.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=30).contains(&seconds), "{seconds}");

    // A good key behind the same address is not the others' hostage, but has a limit of its own.
    let (_, secret) = keys.make("busy", &[Role::Consumer], None).await.expect("made");
    assert_eq!(get(secret.expose_secret()).await.status, 404);
    until("the key is refused", || async {
        get(secret.expose_secret()).await.problem() == "too-many-requests"
    })
    .await;
    until("the key is let in again", || async { get(secret.expose_secret()).await.status == 404 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn development_has_no_rates() {
    let database = Database::new().await;
    let server = Server::start(&database, &[("api_failures_per_minute", "1")]).await;
    for _ in 0..3 {
        assert_eq!(status(&server, "dev-owner", PATHS[0]).await, 401);
    }
}
