//! What auditors find, on the wire.

mod support;

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Database, keyed, request,
    server::{Answer, Server, order},
};
use uuid::Uuid;

async fn get(server: &Server, path: &str) -> Answer {
    Answer::of(server.anonymous(Method::GET, path).bearer_auth("dev-auditor")).await
}

async fn found(server: &Server, path: &str) -> Value {
    let answer = get(server, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path} {answer:?}");
    answer.json()
}

/// Types of the events that a path lists, all pages of it.
async fn types(server: &Server, path: &str) -> Vec<String> {
    let mut types = Vec::new();
    let mut path = path.to_owned();
    loop {
        let answer = get(server, &path).await;
        let page = answer.json();
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{path} {page}"));
        types.extend(items.iter().map(|event| event["event_type"].as_str().expect("a type").to_owned()));
        let Some(link) = answer.header("link") else {
            assert_eq!(page["next"], Value::Null);
            return types;
        };
        path = link.trim_start_matches('<').split_once('>').expect("a link").0.to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_told_as_it_is_and_as_it_stood() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let order = server.create_order().await;
    let id = order.rsplit_once('/').expect("a path").1;
    assert_eq!(server.post(&format!("{order}/confirm"), &json!({})).await.status, 200);
    let stream = format!("/api/audit/streams/order/{id}");

    let summary = found(&server, &stream).await;
    assert_eq!((&summary["version"], &summary["first_position"]), (&json!(2), &json!(1)));
    let events = found(&server, &format!("{stream}/events")).await;
    let first = &events["items"][0];
    assert_eq!(first["data"]["total"].to_string(), "9.00", "to the digit");
    assert_eq!(first["metadata"]["actor"], "dev-consumer");
    assert_eq!(
        types(&server, &format!("{stream}/events?limit=1")).await,
        ["order.created", "order.confirmed"]
    );
    assert_eq!(types(&server, &format!("{stream}/events?from_version=2")).await, ["order.confirmed"]);
    assert!(types(&server, &format!("{stream}/events?from_version=3")).await.is_empty());

    let created_at = first["recorded_at"].as_str().expect("a time");
    for (asked, version, status) in [
        (String::new(), 2, "confirmed"),
        ("?at_version=1".to_owned(), 1, "created"),
        (format!("?at={created_at}"), 1, "created"),
        ("?at=2999-01-01T00:00:00Z".to_owned(), 2, "confirmed"),
    ] {
        let state = found(&server, &format!("{stream}/state{asked}")).await;
        assert_eq!(
            (&state["version"], &state["state"]["status"]),
            (&json!(version), &json!(status)),
            "{asked}"
        );
    }
    for path in [
        format!("{stream}/state?at_version=3"),
        format!("{stream}/state?at=2000-01-01T00:00:00Z"),
        format!("/api/audit/streams/counter/{id}"),
        format!("/api/audit/streams/counter/{id}/events"),
        format!("/api/audit/streams/nothing/{id}/state"),
        "/api/audit/streams/order/abc".to_owned(),
        format!("/api/audit/events/{id}"),
        format!("/api/audit/commands/{id}"),
    ] {
        assert_eq!(get(&server, &path).await.problem(), "not-found", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_what_is_known_of_them() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let counter =
        server.post("/api/counters", &json!({"code": "c"})).await.header("location").unwrap().to_owned();
    let conversation = server.request(Method::POST, "/api/orders").header("x-correlation-id", "talk");
    let created = Answer::of(conversation.json(&order())).await;
    server.post(&format!("{counter}/increment"), &json!({})).await;

    let all = ["counter.created", "order.created", "counter.incremented"];
    assert_eq!(types(&server, "/api/audit/events?limit=2").await, all);
    assert_eq!(types(&server, "/api/audit/events?actor=dev-consumer&limit=1").await, all);
    let backwards: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(types(&server, "/api/audit/events?sort=-position&limit=2").await, backwards);
    let talk = found(&server, "/api/audit/events?correlation_id=talk&event_type=order.created").await;
    let event = &talk["items"][0];
    let command = event["metadata"]["command_id"].as_str().expect("an id");
    let time = event["recorded_at"].as_str().expect("a time");
    for (asked, expected) in [
        ("stream_type=counter".to_owned(), vec!["counter.created", "counter.incremented"]),
        (format!("command_id={command}"), vec!["order.created"]),
        (format!("from={time}&limit=1"), vec!["order.created", "counter.incremented"]),
        (format!("to={time}"), vec!["counter.created"]),
        (format!("from={time}&sort=-position&stream_type=order"), vec!["order.created"]),
        (format!("causation_id={command}"), vec![]),
        ("actor=nobody".to_owned(), vec![]),
    ] {
        assert_eq!(types(&server, &format!("/api/audit/events?{asked}")).await, expected, "{asked}");
    }
    let head = get(&server, "/api/audit/events").await;
    assert_eq!(head.header("annals-position"), Some("3"));
    assert_eq!(created.status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leads_to_its_causes() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let commands = database.commands(&[]).await;
    let mut cause = None;
    for index in 0..3 {
        let request = keyed(request("order.create", None, order()), &index.to_string());
        let request = annals::command::Request { causation_id: cause, ..request };
        let answer = commands.execute(request).await.expect("done");
        let event = database.events().await.pop().expect("an event");
        // By an event, then by a command.
        cause = Some(if index == 0 { event.event_id } else { answer.command_id });
    }
    let events = database.events().await;
    let path = |index: usize| format!("/api/audit/events/{}", events[index].event_id);
    let last = found(&server, &path(2)).await;
    assert_eq!(last["position"], 3);
    let causes = last["causes"].as_array().expect("causes");
    assert_eq!(causes.iter().map(|cause| &cause["position"]).collect::<Vec<_>>(), [&json!(2), &json!(1)]);
    assert_eq!(found(&server, &path(0)).await["causes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_told_with_their_outcome() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let order = server.create_order().await;
    server.post(&format!("{order}/ship"), &json!({"carrier": "c", "tracking": "t"})).await;
    let all = found(&server, "/api/audit/commands").await;
    let outcomes = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|command| command["outcome"].as_str().expect("an outcome").to_owned()).collect()
    };
    assert_eq!(outcomes(&all), ["rejected", "done"]);
    let rejected = found(&server, "/api/audit/commands?outcome=rejected&actor=dev-consumer").await;
    let rejected = &rejected["items"][0];
    assert_eq!(
        rejected["answer"]["state"].as_str().or(rejected["answer"]["members"]["state"].as_str()),
        Some("created")
    );
    let path = format!("/api/audit/commands/{}", rejected["command_id"].as_str().expect("an id"));
    assert_eq!(found(&server, &path).await, *rejected);
    let first = found(&server, "/api/audit/commands?limit=1").await;
    let next = first["next"].as_str().expect("a cursor");
    assert_eq!(outcomes(&found(&server, &format!("/api/audit/commands?cursor={next}")).await), ["done"]);
    assert!(outcomes(&found(&server, "/api/audit/commands?actor=nobody").await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_look_is_noted_and_what_is_odd_is_refused() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    for (path, faults) in [
        ("/api/audit/events?limit=0&from=yesterday&command_id=x", vec!["limit", "command_id", "from"]),
        ("/api/audit/events?nothing=1&actor=", vec!["nothing", "actor"]),
        ("/api/audit/commands?outcome=great", vec!["outcome"]),
        ("/api/audit/access?actor=a%00b", vec!["actor"]),
    ] {
        let answer = get(&server, path).await;
        assert_eq!(answer.problem(), "validation-failed", "{path}");
        let faults: BTreeSet<_> = faults.into_iter().map(str::to_owned).collect();
        assert_eq!(answer.faults().into_iter().collect::<BTreeSet<_>>(), faults, "{path}");
    }
    assert_eq!(get(&server, "/api/audit/events?cursor=abc").await.problem(), "malformed");
    let looks = found(&server, "/api/audit/access?limit=500").await;
    let looks = looks["items"].as_array().expect("items");
    assert_eq!(looks.len(), 6);
    assert_eq!(looks[0]["target"], "/api/audit/access?limit=500");
    assert_eq!(looks[5]["target"], "/api/audit/events?limit=0&from=yesterday&command_id=x");
    assert!(looks.iter().all(|look| look["actor"] == "dev-auditor" && look["method"] == "GET"));
    assert!(database.events().await.is_empty(), "looking writes nothing to the log");
    assert!(database.client().await.batch_execute("delete from log.access").await.is_err());
    let refused = server.get(&format!("/api/audit/events/{}", Uuid::now_v7())).await;
    assert_eq!(refused.problem(), "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_noted_whole_or_is_none() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let hidden = format!("/api/audit/events?{}actor=someone", "&".repeat(4_000));
    assert_eq!(get(&server, &hidden).await.problem(), "uri-too-long");
    let live = server.anonymous(Method::GET, "/api/audit/events/live").bearer_auth("dev-auditor");
    let live = live.header("last-event-id", "0").send().await.expect("answered");
    assert_eq!(live.status(), StatusCode::OK);
    let looks = found(&server, "/api/audit/access").await;
    assert_eq!(looks["items"][1]["target"], "/api/audit/events/live last-event-id: 0");
    assert_eq!(looks["items"].as_array().expect("items").len(), 2);
}
