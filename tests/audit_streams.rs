//! What auditors are told as it comes, and what they take away.

mod support;

use annals::api::auth::Role;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{
    Database, append, done,
    keys::Keys,
    request,
    server::{Answer, Server, order},
    until,
};
use tokio::time::timeout;

fn listening(server: &Server, query: &str) -> RequestBuilder {
    server.anonymous(Method::GET, &format!("/api/audit/events/live{query}")).bearer_auth("dev-auditor")
}

/// Someone who listens, and what came so far.
struct Listener {
    response: reqwest::Response,
    text: String,
}

impl Listener {
    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// Ids of the next events.
    async fn ids(&mut self, count: usize) -> Vec<i64> {
        loop {
            let ids: Vec<_> = self.text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
            if ids.len() >= count {
                return ids.iter().map(|id| id.parse().expect("a position")).collect();
            }
            assert!(self.more().await, "ended after {}", self.text);
        }
    }

    /// Whether more came, rather than the end.
    async fn more(&mut self) -> bool {
        let chunk = timeout(support::DEADLINE, self.response.chunk()).await.expect("in time");
        let chunk = chunk.expect("not broken off");
        self.text.push_str(&chunk.iter().map(|chunk| String::from_utf8_lossy(chunk)).collect::<String>());
        chunk.is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_where_history_meets_the_present() {
    let database = Database::new().await;
    let settings = [("audit_batch_events_max", "7"), ("audit_listener_bytes_max", "1024")];
    let server = Server::without_projections(&database, &settings).await;
    let (appender, _) = database.appender(&[]);
    let writing = async {
        for _ in 0..300 {
            appender.append(append("counter.reset", "{}")).await.expect("appended");
        }
    };
    let from = |last: i64| listening(&server, &format!("?last_event_id={last}"));
    let hearing = async {
        let mut all = Listener::of(from(0)).await;
        assert_eq!(all.ids(300).await, (1..=300).collect::<Vec<_>>());
    };
    tokio::join!(writing, hearing);
    // Begun again after the last id.
    let again = listening(&server, "").header("last-event-id", "297");
    assert_eq!(Listener::of(again).await.ids(3).await, [298, 299, 300]);
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_get_what_they_asked_for_from_now_on() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("audit_heartbeat_ms", "20")]).await;
    server.create_order().await;
    let mut listener = Listener::of(listening(&server, "?stream_type=order")).await;
    server.post("/api/counters", &json!({"code": "c"})).await;
    server.create_order().await;
    assert_eq!(listener.ids(1).await, [3]);
    let data = listener.text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let event: Value = serde_json::from_str(data).expect("JSON in one line");
    assert_eq!(
        (&event["event_type"], &event["data"]["total"].to_string()),
        (&json!("order.created"), &"9.00".into())
    );
    assert!(listener.text.contains("event: order.created\n"));
    while listener.text.matches(":\n\n").count() < 4 {
        assert!(listener.more().await);
    }
    server.shutdown.cancel();
    while listener.more().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_ends_its_listeners() {
    let database = Database::new().await;
    let keys = Keys::of(&database).await;
    let settings = [("auth", "keys"), ("api_key_memory_ms", "20"), ("audit_heartbeat_ms", "20")];
    let server = Server::without_projections(&database, &settings).await;
    let (key, secret) = keys.make("auditor", &[Role::Auditor], None).await.expect("made");
    let (_, other) = keys.make("another", &[Role::Auditor], None).await.expect("made");
    let listen = |secret: &SecretString| {
        let path = "/api/audit/events/live?event_type=order.created";
        Listener::of(server.anonymous(Method::GET, path).bearer_auth(secret.expose_secret()))
    };
    let (mut revoked, mut stays) = (listen(&secret).await, listen(&other).await);
    let beats = async |listener: &mut Listener| {
        let seen = listener.text.matches(":\n\n").count();
        while listener.text.matches(":\n\n").count() < seen + 4 {
            assert!(listener.more().await);
        }
    };
    beats(&mut revoked).await;
    assert!(keys.revoke(key.id).await);
    for beat in 0.. {
        if !revoked.more().await {
            break;
        }
        assert!(beat < 500, "it still hears something");
    }
    beats(&mut stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_bounded_and_those_who_take_nothing_are_cut_off() {
    let database = Database::new().await;
    let settings = [("audit_listeners_max", "1"), ("audit_listener_patience_ms", "300")];
    let server = Server::without_projections(&database, &settings).await;
    for odd in ["?last_event_id=1", "?last_event_id=-1", "?last_event_id=x", "?limit=1"] {
        assert_eq!(Answer::of(listening(&server, odd)).await.problem(), "validation-failed", "{odd}");
    }
    let odd = listening(&server, "").header("last-event-id", "x");
    assert_eq!(Answer::of(odd).await.faults(), ["last-event-id"]);
    // More than what fits any buffer on the way.
    let (appender, _) = database.appender(&[]);
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(700_000));
    for _ in 0..40 {
        appender.append(append("counter.reset", &large)).await.expect("appended");
    }
    let _silent = Listener::of(listening(&server, "?last_event_id=0")).await;
    let refused = Answer::of(listening(&server, "")).await;
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("overloaded", Some("1")));
    until("the silent one is cut off", || async {
        let again = listening(&server, "").send().await.expect("answered");
        again.status() == StatusCode::OK
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_and_has_its_digest() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[("audit_batch_events_max", "2")]).await;
    let commands = database.commands(&[]).await;
    for _ in 0..4 {
        done(&commands.execute(request("order.create", None, order())).await.expect("done"));
    }
    done(&commands.execute(request("counter.create", None, json!({"code": "c"}))).await.expect("done"));
    let export = async |query: &str| {
        let path = format!("/api/audit/export?{query}");
        Answer::of(server.anonymous(Method::GET, &path).bearer_auth("dev-auditor")).await.text
    };
    let digest =
        |lines: &str| -> String { Sha256::digest(lines).iter().map(|byte| format!("{byte:02x}")).collect() };
    for (query, count) in [("format=ndjson", 5), ("stream_type=order", 4), ("actor=nobody", 0)] {
        let text = export(query).await;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (last, events) = lines.split_last().expect("a last line");
        assert_eq!((events.len(), &last["events"]), (count, &json!(count)), "{query}");
        let before = &text[..text.trim_end().rfind('\n').map_or(0, |end| end + 1)];
        assert_eq!(last["sha256"], digest(before), "{query}");
        assert_eq!(last["log_id"], json!(database.identity().await.log_id));
        let (name, value) = query.split_once('=').expect("a parameter");
        assert!(name == "format" || last["filter"][name] == value, "{query}: {last}");
    }
    let csv = export("format=csv&stream_type=order").await;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(
        lines[1].contains(r#""{""total"": 9.00"#) || lines[1].contains(r#"""total"": 9.00"#),
        "{}",
        lines[1]
    );
    let before = &csv[..csv.trim_end().rfind('\n').expect("lines") + 1];
    let sealed = format!("sha256,{},4,{},", digest(before), database.identity().await.log_id);
    assert!(
        lines[5].starts_with(&sealed) && lines[5].contains(r#"""stream_type"":""order"""#),
        "{}",
        lines[5]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_waits_for_its_range_to_be_over() {
    let database = Database::new().await;
    let server = Server::without_projections(&database, &[]).await;
    let export = async |to: &str| {
        let path = format!("/api/audit/export?to={to}");
        Answer::of(server.anonymous(Method::GET, &path).bearer_auth("dev-auditor")).await
    };
    let ahead = export("2999-01-01T00:00:00Z").await;
    assert_eq!((ahead.problem().as_str(), ahead.faults()), ("validation-failed", vec!["to".to_owned()]));

    // An append that has its time and is not committed.
    let mut appender = database.client().await;
    let append = appender.transaction().await.expect("begun");
    append.batch_execute(include_str!("support/append_one.sql")).await.expect("appended");
    let now: DateTime<Utc> = append.query_one("select clock_timestamp()", &[]).await.expect("a time").get(0);
    let to = now.to_rfc3339_opts(SecondsFormat::Micros, true);
    let committing = async {
        let watcher = database.client().await;
        until("the export waits for it", || async {
            watcher.query_one(include_str!("support/append_awaited.sql"), &[]).await.expect("locks").get(0)
        })
        .await;
        append.commit().await.expect("committed");
    };
    let (first, ()) = tokio::join!(export(&to), committing);
    assert!(first.text.contains(r#","events":1,"#), "{first:?}");
    server.create_order().await;
    assert_eq!(export(&to).await.text, first.text);
}
