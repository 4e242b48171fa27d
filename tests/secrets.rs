//! A secret is nowhere in the clear: not in the database, not in the topics, not in the server's log at its most
//! talkative, whether the command was done, rejected, refused or accepted to be done later. Nor is what the program and its
//! callers prove with who they are, in what it tells of itself.

mod support;

use std::fs::{self, File};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use support::{
    Database,
    issuer::{Issuer, Key, claims},
    kafka_brokers,
    process::Process,
    server::{Answer, order},
    topic, topic_prefix, until,
};

/// A log that holds back nothing of ours.
const TALKATIVE: &str = "debug,annals=trace,tokio_postgres=trace,hyper=info,h2=info";
/// What stands in every code and nowhere else.
const SECRET: &str = "sesame-4711";

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_in_no_table_no_topic_and_no_log() {
    let database = Database::new().await;
    let (brokers, prefix) = (kafka_brokers(), topic_prefix());
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let settings = [("kafka_brokers", brokers.as_str()), ("topic_prefix", &prefix), ("log", TALKATIVE)];
    let mut server = Process::serve_logging(&database, &settings, File::create(&log).expect("a file"));
    let http = reqwest::Client::new();
    let request = |method, path: &str| {
        http.request(method, format!("{}{path}", server.url)).bearer_auth("dev-consumer")
    };
    let code = |text: &str| json!({ "code": text });
    let post = |path: &str, body: &Value| request(Method::POST, path).json(body);
    let status = async |request: RequestBuilder| Answer::of(request).await.status;

    let created = Answer::of(post("/api/counters", &code(SECRET))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let submit = format!("{}/submit-code", created.header("location").expect("a location"));
    assert_eq!(status(post(&submit, &code(&format!("{SECRET}-wrong")))).await, StatusCode::CONFLICT);
    assert_eq!(status(post(&submit, &code(SECRET)).header("idempotency-key", "k")).await, StatusCode::OK);
    assert_eq!(status(post(&submit, &code(SECRET)).header("idempotency-key", "k")).await, StatusCode::OK);
    let long = Answer::of(post(&submit, &code(&SECRET.repeat(50)))).await;
    assert_eq!(long.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!long.text.contains(SECRET), "{long:?}");
    let broken = request(Method::POST, &submit).header("content-type", "application/json");
    assert_eq!(status(broken.body(format!("{{\"code\": \"{SECRET}\""))).await, StatusCode::BAD_REQUEST);
    for text in [SECRET.to_owned(), format!("{SECRET}-wrong")] {
        let later = Answer::of(post(&submit, &code(&text)).header("prefer", "respond-async")).await;
        assert_eq!(later.status, StatusCode::ACCEPTED, "{later:?}");
        let path = later.header("location").expect("a location").to_owned();
        until("it is done or rejected", || async {
            Answer::of(request(Method::GET, &path)).await.json()["status"] != "pending"
        })
        .await;
    }
    let records = || topic::read(&brokers, &format!("{prefix}.counter"));
    until("the topic has its events", || async { records().len() == 3 }).await;
    server.signal("TERM");
    assert_eq!(server.end().await, Some(0));

    assert!(records().iter().all(|record| !format!("{record:?}").contains(SECRET)));
    let dump = database.client().await.query(include_str!("support/dump.sql"), &[]).await.expect("a dump");
    let dump: Vec<String> = dump.iter().map(|row| row.get(0)).collect();
    assert!(dump.iter().any(|row| row.contains("counter.submit-code")), "the dump holds the commands");
    assert!(dump.iter().all(|row| !row.contains(SECRET)));
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.contains("append") && log.len() > 1_000, "the log talks: {log}");
    let leaks: Vec<_> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_an_identity_is_told_nowhere() {
    let database = Database::new().await;
    let (key, brokers) = (Key::ec("one"), kafka_brokers());
    let issuer = Issuer::new(&[&key]);
    let jwks = issuer.path().display().to_string();
    let (token, stranger) = (key.sign(&claims()), Key::ec("one").sign(&claims()));
    let settings = [
        ("log", TALKATIVE),
        ("auth", "jwt"),
        ("jwt_jwks", &jwks),
        ("jwt_issuer", "https://issuer.example"),
        ("jwt_audience", "annals"),
        // Brokers that know nothing of SASL: what fails is told, too.
        ("kafka_brokers", &brokers),
        ("kafka_security_protocol", "sasl_plaintext"),
        ("kafka_sasl_username", "program"),
        ("kafka_sasl_password", SECRET),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut server = Process::serve_logging(&database, &settings, File::create(&log).expect("a file"));
    let http = reqwest::Client::new();
    let get = async |path: &str| Answer::of(http.get(format!("{}{path}", server.url))).await.text;
    let post = async |token: &str| {
        let request = http.post(format!("{}/api/orders", server.url)).bearer_auth(token);
        Answer::of(request.json(&order())).await
    };
    let (done, refused) = (post(&token).await, post(&stranger).await);
    assert_eq!((done.status, refused.status), (StatusCode::CREATED, StatusCode::UNAUTHORIZED));
    until("the relay has stopped", || async {
        get("/health/ready").await.contains(r#""kafka":{"status":"degraded""#)
    })
    .await;
    let mut told = vec![done.text, refused.text, get("/health/ready").await, get("/metrics").await];
    server.signal("TERM");
    assert_eq!(server.end().await, Some(0));
    let log = fs::read_to_string(&log).expect("a log");
    assert!(log.contains("librdkafka") && log.contains("POST"), "the log talks: {log}");
    told.push(log);
    told.push(Process::run(&database, &["config"], &settings));
    told.push(Process::run(&database, &["config", "--json"], &settings));
    let (place, _) = database.url.rsplit_once('/').expect("a database's name");
    for url in [format!("{place}/nowhere"), format!("{place}x/annals"), format!("{place}?x=y")] {
        told.push(Process::fail(&database, &["keys", "list"], &[("database_url", &url)]).1);
    }
    let dump = database.client().await.query(include_str!("support/dump.sql"), &[]).await.expect("a dump");
    told.extend(dump.iter().map(|row| row.get::<_, String>(0)));

    let (_, login) = place.split_once("://").expect("a scheme");
    let (_, password) = login.split_once('@').expect("a place").0.split_once(':').expect("a password");
    for secret in [SECRET, password, &token, &stranger] {
        let leak = told.iter().flat_map(|text| text.lines()).find(|line| line.contains(secret));
        assert!(leak.is_none(), "{secret}: {leak:?}");
    }
}
