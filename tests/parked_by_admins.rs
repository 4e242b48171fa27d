//! Streams that a read model has parked, listed and mended over HTTP and from the command line; each action an event
//! with its actor. And the relay, asked about the same ways.

mod support;

use std::fs;

use annals::log::Expected;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::{Database, append_to, kafka_brokers, names::NAMES, process::Process, topic_prefix, until};
use tempfile::TempDir;
use uuid::Uuid;

/// A folder of projections with `names` alone.
fn projections() -> TempDir {
    let dir = tempfile::tempdir().expect("made");
    for (file, text) in NAMES {
        let file = dir.path().join("names").join(file);
        fs::create_dir_all(file.parent().expect("in a folder")).expect("made");
        fs::write(file, text).expect("written");
    }
    dir
}

async fn ask(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.bearer_auth("dev-admin").send().await.expect("answered");
    let status = response.status();
    (status, response.json().await.expect("JSON"))
}

/// What admins did, and who it was.
async fn noted(database: &Database) -> Vec<(String, String)> {
    let events = database.events().await.into_iter().filter(|event| event.stream_type == "admin");
    let told = |event: annals::log::Event| {
        let (data, metadata): (Value, Value) =
            (event.data.parse().expect("JSON"), event.metadata.parse().expect("JSON"));
        let what = data["action"].as_str().map_or(event.event_type, str::to_owned);
        (what, metadata["actor"].as_str().expect("an actor").to_owned())
    };
    events.map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_parked_are_listed_tried_again_and_skipped() {
    let (database, projections) = (Database::new().await, projections());
    let settings = [
        ("projections_dir", projections.path().to_str().expect("UTF-8")),
        ("projector_poll_interval_ms", "5"),
    ];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let parked = format!("{}/api/admin/projections/names/parked", annals.url);
    let [first, twin, third] = [(); 3].map(|()| Uuid::now_v7());
    let (appender, _appended) = database.appender(&[]);
    for id in [first, twin, third] {
        let created = ("project.created", r#"{"name":"tea"}"#);
        appender.append(append_to(id, Expected::NoStream, &[created])).await.expect("appended");
    }
    until("both are parked", || async {
        let (_, listed) = ask(client.get(&parked)).await;
        listed["items"].as_array().is_some_and(|items| items.len() == 2)
    })
    .await;
    let (_, page) = ask(client.get(format!("{parked}?limit=1"))).await;
    assert_eq!(page["items"][0]["stream_id"], twin.to_string());
    let (_, rest) =
        ask(client.get(format!("{parked}?cursor={}", page["next"].as_str().expect("more")))).await;
    assert_eq!((&rest["items"][0]["stream_id"], &rest["next"]), (&third.to_string().into(), &Value::Null));

    let mend = async |id: Uuid, verb| ask(client.post(format!("{parked}/{id}/{verb}"))).await;
    let (status, mended) = mend(twin, "retry").await;
    assert_eq!((status, mended), (StatusCode::OK, json!({"applied": 0, "skipped": 0, "left": 1})));
    let (status, mended) = mend(twin, "skip").await;
    assert_eq!((status, mended), (StatusCode::OK, json!({"applied": 0, "skipped": 1, "left": 0})));
    for (id, verb) in [(twin, "retry"), (first, "skip"), (third, "burn")] {
        assert_eq!(mend(id, verb).await.0, StatusCode::NOT_FOUND, "{verb}");
    }
    let by_hand =
        Process::run(&database, &["projections", "skip", "names", &format!("project/{third}")], &settings);
    assert_eq!(by_hand, "0 applied, 1 skipped, 0 still parked\n");
    Process::run(&database, &["projections", "pause", "names"], &settings);
    let at_command_line = format!("cli:{}", whoami::username().expect("a name"));
    let by = |what: &str, who: &str| (what.to_owned(), who.to_owned());
    assert_eq!(
        noted(&database).await,
        [
            by("retry_parked", "dev-admin"),
            by("skip_parked", "dev-admin"),
            by("skip_parked", &at_command_line),
            by("pause", &at_command_line)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_tells_how_far_it_is_and_compares_its_topics() {
    let (database, prefix) = (Database::new().await, topic_prefix());
    let settings = [("kafka_brokers", &*kafka_brokers()), ("topic_prefix", &*prefix)];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let relay = format!("{}/api/admin/relay", annals.url);
    let order = client.post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
    let order = order.header("Content-Type", "application/json").body(support::ORDER);
    assert_eq!(order.send().await.expect("answered").status(), StatusCode::CREATED);
    until("it is relayed", || async {
        let (_, told) = ask(client.get(&relay)).await;
        told["cursor"] == 1 && told["lag"] == 0 && told["lease"]["epoch"].as_i64() >= Some(1)
    })
    .await;
    let begin = client.post(format!("{relay}/reconciles")).bearer_auth("dev-admin");
    let begun = begin.json(&json!({"dry_run": true})).send().await.expect("answered");
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let place = begun.headers()["location"].to_str().expect("ASCII").to_owned();
    let place = format!("{}{place}", annals.url);
    until("it is done", || async { ask(client.get(&place)).await.1["state"] == "done" }).await;
    let (_, done) = ask(client.get(&place)).await;
    let topics = done["topics"].as_array().expect("topics");
    let orders = topics.iter().find(|topic| topic["stream_type"] == "order").expect("orders");
    assert_eq!((&orders["events"], &orders["missing"]["count"]), (&json!(1), &json!(0)), "{done}");
    assert_eq!((&done["dry_run"], &done["sent_again"]), (&json!(true), &json!([])));
    let unknown = format!("{relay}/reconciles/{}", Uuid::now_v7());
    assert_eq!(ask(client.get(unknown)).await.0, StatusCode::NOT_FOUND);
    let both = ["admin.reconcile_requested", "admin.reconcile_ended"];
    assert_eq!(noted(&database).await, both.map(|what| (what.to_owned(), "dev-admin".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_holds_up_no_reader_and_every_answer_tells_of_it() {
    let (database, projections) = (Database::new().await, projections());
    let settings = [
        ("projections_dir", projections.path().to_str().expect("UTF-8")),
        ("projector_poll_interval_ms", "5"),
    ];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    let [first, twin] = [(); 2].map(|()| Uuid::now_v7());
    let (appender, _appended) = database.appender(&[]);
    let create = ("project.created", r#"{"name":"tea"}"#);
    for id in [first, twin] {
        appender.append(append_to(id, Expected::NoStream, &[create])).await.expect("appended");
    }
    let third = client.post(format!("{}/api/projects", annals.url)).bearer_auth("dev-consumer");
    let third = third.json(&json!({"name": "tea"})).send().await.expect("answered");
    assert_eq!(third.status(), StatusCode::CREATED);
    let token = third.headers()["consistency-token"].clone();
    let rows = client.get(format!("{}/api/read-models/names", annals.url)).bearer_auth("dev-consumer");
    let rows = rows.header("Consistency-Token", token).header("Prefer", "wait=30").send().await;
    let rows = rows.expect("answered");
    assert!(rows.status() == StatusCode::OK && rows.headers()["annals-parked"] == "2", "{rows:?}");
    let rows: Value = rows.json().await.expect("JSON");
    let ids: Vec<_> = rows["items"].as_array().expect("rows").iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&json!(first)]);
}
