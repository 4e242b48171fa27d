//! What admins do over HTTP: keys, projections, rebuilds; each action an event with its actor.

#[path = "admin/dropping.rs"]
mod dropping;
mod support;

use annals::{domain::admin::Action, rebuild};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use support::{
    Database,
    server::{Answer, Server},
    until,
};
use uuid::Uuid;

fn asked(server: &Server, method: Method, path: &str) -> RequestBuilder {
    server.anonymous(method, &format!("/api/admin{path}")).bearer_auth("dev-admin")
}

async fn get(server: &Server, path: &str) -> Answer {
    Answer::of(asked(server, Method::GET, path)).await
}

async fn post(server: &Server, path: &str, body: &Value) -> Answer {
    Answer::of(asked(server, Method::POST, path).json(body)).await
}

/// Types and actors of what admins did.
async fn noted(database: &Database) -> Vec<(String, String)> {
    let events = database.events().await;
    let admins = events.into_iter().filter(|event| event.stream_type == "admin");
    let actor = |metadata: Value| metadata["actor"].as_str().expect("an actor").to_owned();
    admins.map(|event| (event.event_type, actor(event.metadata.parse().expect("JSON")))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_works_and_is_revoked() {
    let database = Database::new().await;
    let admin = Server::without_projections(&database, &[]).await;
    let settings = [("auth", "keys"), ("api_key_memory_ms", "50")];
    let server = Server::without_projections(&database, &settings).await;
    let body =
        json!({"name": "shop", "roles": ["consumer", "auditor"], "expires_at": "2999-01-01T00:00:00Z"});
    let made = post(&admin, "/keys", &body).await;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::CREATED, Some("no-store")));
    let made = made.json();
    let (id, secret) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    let status = async || {
        let path = "/api/audit/events?limit=1";
        Answer::of(server.anonymous(Method::GET, path).bearer_auth(secret)).await.status
    };
    assert_eq!(status().await, StatusCode::OK);
    let listed = get(&admin, "/keys").await;
    assert!(!listed.text.contains(secret));
    assert_eq!(listed.json()["items"][0]["roles"], json!(["auditor", "consumer"]));

    let revoke = async || Answer::of(asked(&admin, Method::DELETE, &format!("/keys/{id}"))).await.status;
    assert_eq!(revoke().await, StatusCode::NO_CONTENT);
    until("it is refused", || async { status().await == StatusCode::UNAUTHORIZED }).await;
    assert_eq!(revoke().await, StatusCode::NOT_FOUND);
    let both =
        ["admin.key_created", "admin.key_revoked"].map(|event| (event.to_owned(), "dev-admin".to_owned()));
    assert_eq!(noted(&database).await, both);
    assert!(database.events().await.iter().all(|event| !event.data.as_str().contains(secret)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_makes_no_second_key_and_shows_no_secret() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let create = async |body: Value| {
        let request = asked(&server, Method::POST, "/keys").header("Idempotency-Key", "shop-1");
        Answer::of(request.json(&body)).await
    };
    let body = json!({"name": "shop", "roles": ["consumer", "auditor"]});
    let first = create(body).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, None));
    let mut first = first.json();
    assert!(first["key"].is_string());
    // The same wish in other words.
    let again = create(json!({"roles": ["auditor", "consumer"], "name": " shop ", "expires_at": null})).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, Some("true")));
    first.as_object_mut().expect("an object").remove("key");
    assert_eq!(again.json(), first);
    let other = create(json!({"name": "shop", "roles": ["admin"]})).await;
    assert_eq!(other.problem(), "idempotency-key-reused");
    assert_eq!(get(&server, "/keys").await.json()["items"], json!([first]));
    assert_eq!(noted(&database).await.len(), 1);
    let odd = asked(&server, Method::POST, "/keys").header("Idempotency-Key", "").json(&json!({
        "name": "a\nb", "roles": ["admin"],
    }));
    assert_eq!(Answer::of(odd).await.faults(), ["Idempotency-Key", "/name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_are_not_made() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    for (body, fault) in [
        (json!({"roles": ["admin"]}), "/name"),
        (json!({"name": "a\nb", "roles": ["admin"]}), "/name"),
        (json!({"name": "a", "roles": []}), "/roles"),
        (json!({"name": "a", "roles": ["owner"]}), "/roles/0"),
        (json!({"name": "a", "roles": ["admin"], "expires_at": "2000-01-01T00:00:00Z"}), "/expires_at"),
        (json!({"name": "a", "roles": ["admin"], "expires_at": "soon"}), "/expires_at"),
    ] {
        let answer = post(&server, "/keys", &body).await;
        assert_eq!(
            (answer.problem().as_str(), answer.faults()),
            ("validation-failed", vec![fault.to_owned()])
        );
    }
    for id in [Uuid::now_v7().to_string(), "x".to_owned()] {
        let answer = Answer::of(asked(&server, Method::DELETE, &format!("/keys/{id}"))).await;
        assert_eq!(answer.problem(), "not-found");
    }
    assert!(noted(&database).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_undone_is_done() {
    let database = Database::new().await;
    let commands = database.commands(&[]).await;
    let body = json!({"key_hash": "00".repeat(32), "name": "shop", "roles": ["consumer"]});
    let answer = commands.execute(support::request("admin.create-key", None, body)).await.expect("done");
    let pool = database.pool();
    let ending = tokio_util::sync::CancellationToken::new();
    let admin =
        annals::admin::Admin::new(commands, pool.clone(), pool.clone(), vec![], &database.config(&[]));
    tokio::spawn(admin.run(ending.clone()));
    until("the key is there", || async {
        let keys = annals::api::auth::keys::list(&pool, None, 10).await.expect("listed");
        keys.iter().any(|key| key.id == answer.stream.id)
    })
    .await;
    ending.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_refused_is_not_begun_when_the_other_one_has_ended() {
    let database = Database::new().await;
    let server = Server::start(&database, &[]).await;
    server.create_order().await;
    let pool = database.pool();
    let first = Uuid::now_v7();
    let begin = || rebuild::start(&pool, first, "orders", None, rebuild::Options::default());
    until("there is something to rebuild", || async { begin().await.is_ok() }).await;
    // Noted while that one was under way, as by somebody who came at the same moment.
    let request = |id: Uuid| {
        let body =
            json!({"action": Action::Rebuild, "projection": "orders", "rebuild_id": id, "options": {}});
        support::request("admin.act", Some(Uuid::now_v7()), body)
    };
    let commands = database.commands(&[]).await;
    commands.execute(request(Uuid::now_v7())).await.expect("noted");
    rebuild::cancel(&pool, first).await.expect("cancelled");
    let admin = annals::admin::Admin::new(
        commands.clone(),
        pool.clone(),
        pool.clone(),
        vec![],
        &database.config(&[]),
    );
    let ending = tokio_util::sync::CancellationToken::new();
    tokio::spawn(admin.run(ending.clone()));
    // Behind it, so that it was looked at.
    let later = Uuid::now_v7();
    commands.execute(request(later)).await.expect("noted");
    until("the later one is begun", || async { rebuild::get(&pool, later).await.is_ok() }).await;
    let begun = rebuild::list(&pool, Some("orders"), None, 10).await.expect("listed");
    assert_eq!(begun.iter().map(|rebuild| rebuild.id).collect::<Vec<_>>(), [later, first]);
    ending.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_whose_process_ended_has_failed_and_one_goes_at_a_time() {
    let database = Database::new().await;
    let brokers = support::kafka_brokers();
    let server = Server::without_projections(&database, &[("kafka_brokers", &brokers)]).await;
    let request = support::request("admin.reconcile", None, json!({"dry_run": true}));
    let noted = database.commands(&[]).await.execute(request).await.expect("noted");
    let state = async || {
        let told = get(&server, &format!("/relay/reconciles/{}", noted.stream.id)).await.json();
        told["state"].as_str().expect("a state").to_owned()
    };
    assert_eq!(state().await, "failed");
    let other = database.client().await;
    other.batch_execute(include_str!("../src/admin/reconcile_lock.sql")).await.expect("locked");
    assert_eq!(state().await, "running");
    let second = post(&server, "/relay/reconciles", &json!({})).await;
    assert_eq!(second.problem(), "rejected");
    drop(other);
    until("the lock ended with its session", || async { state().await == "failed" }).await;
    let without = Server::without_projections(&database, &[]).await;
    assert_eq!(post(&without, "/relay/reconciles", &json!({})).await.problem(), "rejected");
    assert_eq!(self::noted(&database).await.len(), 1, "what is refused is not noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_held_and_rebuilt() {
    let database = Database::new().await;
    let server = Server::start(&database, &[]).await;
    server.create_order().await;
    until("it is there", || async { get(&server, "/projections/orders").await.status == StatusCode::OK })
        .await;
    assert_eq!(post(&server, "/projections/orders/pause", &json!({})).await.json()["state"], "paused");
    assert_eq!(post(&server, "/projections/orders/resume", &json!({})).await.json()["state"], "running");
    assert_eq!(post(&server, "/projections/orders/rollback", &json!({})).await.problem(), "rejected");
    assert_eq!(post(&server, "/projections/orders/destroy", &json!({})).await.problem(), "not-found");
    assert_eq!(get(&server, "/projections/orders/destroy").await.problem(), "not-found");
    assert_eq!(get(&server, "/projections/orders/pause").await.problem(), "method-not-allowed");
    assert_eq!(get(&server, "/projections/nothing").await.problem(), "not-found");

    let path = "/projections/orders/rebuilds";
    let estimate = post(&server, path, &json!({"dry_run": true})).await;
    assert_eq!(estimate.status, StatusCode::OK);
    assert!(estimate.json()["events"].as_i64() >= Some(1), "{estimate:?}");
    assert_eq!(post(&server, path, &json!({"workers": 0})).await.faults(), ["/workers"]);
    // Nobody carries rebuilds on in this test, so it stays where it is put.
    let begun = post(&server, path, &json!({"swap": "manual"})).await;
    assert_eq!((begun.status, &begun.json()["state"]), (StatusCode::ACCEPTED, &json!("running")));
    assert_eq!(post(&server, path, &json!({})).await.problem(), "rejected");
    let rebuild = begun.header("location").expect("a location").trim_start_matches("/api/admin").to_owned();
    assert_eq!(post(&server, &format!("{rebuild}/pause"), &json!({})).await.json()["state"], "paused");
    assert_eq!(post(&server, &format!("{rebuild}/swap"), &json!({})).await.problem(), "rejected");
    assert_eq!(post(&server, &format!("{rebuild}/resume"), &json!({})).await.json()["state"], "running");
    assert_eq!(post(&server, &format!("{rebuild}/cancel"), &json!({})).await.json()["state"], "cancelled");
    assert_eq!(post(&server, &format!("{rebuild}/cancel"), &json!({})).await.problem(), "rejected");
    assert_eq!(get(&server, &rebuild).await.json()["state"], "cancelled");
    assert_eq!(get(&server, path).await.json()["items"].as_array().map(Vec::len), Some(1));
    assert!(noted(&database).await.iter().all(|(_, actor)| actor == "dev-admin"));
}
