//! The program as its operators run it: parts in processes of their own, keys from the command line, orderly ends.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use support::{
    DEADLINE, Database, group::is_shared_by, kafka_brokers, process::Process, topic_prefix, until,
};
use uuid::Uuid;

async fn create(client: &Client, annals: &Process, key: &str) -> reqwest::Result<(StatusCode, Value)> {
    let request = client.post(format!("{}/api/orders", annals.url)).bearer_auth(key);
    let response = request.header("Content-Type", "application/json").body(support::ORDER).send().await?;
    let status = response.status();
    Ok((status, response.text().await?.parse().expect("JSON")))
}

async fn rows(database: &Database) -> BTreeSet<Uuid> {
    let client = database.client().await;
    let rows = client.query("select id from projection_orders_1.orders", &[]).await.unwrap_or_default();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Forty orders, spread over the partitions.
async fn orders(client: &Client, annals: &Process) -> BTreeSet<Uuid> {
    let mut orders = BTreeSet::new();
    for _ in 0..40 {
        let (status, order) = create(client, annals, "dev-consumer").await.expect("answered");
        assert_eq!(status, StatusCode::CREATED);
        orders.insert(order["id"].as_str().and_then(|id| id.parse().ok()).expect("an id"));
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_partitions_and_one_that_is_killed_is_replaced() {
    let (database, prefix, brokers) = (Database::new().await, topic_prefix(), kafka_brokers());
    let settings =
        [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix), ("projector_session_timeout_ms", "6000")];
    let annals = Process::serve(&database, &["--role", "api", "--role", "relay"], &settings);
    let first = Process::worker(&database, &settings);
    let second = Process::worker(&database, &settings);
    let client = Client::new();
    let mut created = orders(&client, &annals).await;
    until("both see to it that all is folded", || async { rows(&database).await == created }).await;
    is_shared_by(&database, &brokers, &prefix, "orders", 2).await;
    first.kill();
    created.append(&mut orders(&client, &annals).await);
    until("the one that is left folds all", || async { rows(&database).await == created }).await;
    is_shared_by(&database, &brokers, &prefix, "orders", 1).await;
    drop(second);
}

/// Creates an order and reads it with the answer's token; its id and the token.
async fn create_and_read(client: &Client, annals: &Process) -> (Uuid, String) {
    let request = client.post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
    let request = request.header("Content-Type", "application/json").body(support::ORDER);
    let created = request.send().await.expect("answered");
    let header = |name: &str| created.headers()[name].to_str().expect("text").to_owned();
    let token = header("consistency-token");
    let order = read(client, annals, &header("location"), &token, 30).await;
    assert_eq!(order.status(), StatusCode::OK);
    let order: Value = order.text().await.expect("a body").parse().expect("JSON");
    (order["id"].as_str().and_then(|id| id.parse().ok()).expect("an id"), token)
}

async fn read(client: &Client, annals: &Process, path: &str, token: &str, seconds: u8) -> Response {
    let request = client.get(format!("{}{path}", annals.url)).bearer_auth("dev-consumer");
    let request = request.header("Consistency-Token", token).header("Prefer", format!("wait={seconds}"));
    request.send().await.expect("answered")
}

/// Where each topic goes on behind the orders that were folded.
async fn ends(log: &tokio_postgres::Client) -> BTreeMap<i32, i64> {
    let ends =
        "select partition, coalesce(next_offset, 0) from projections.checkpoints where projection = 'orders'";
    log.query(ends, &[]).await.expect("ends").iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// How many events are not sent.
async fn pending(log: &tokio_postgres::Client) -> i64 {
    log.query_one("select count(*) from log.outbox_pending", &[]).await.expect("a count").get(0)
}

/// Creates orders until the worker has folded one that came from Kafka, and all are sent.
async fn until_kafka_is_followed(
    client: &Client,
    log: &tokio_postgres::Client,
    annals: &Process,
) -> BTreeSet<Uuid> {
    let mut created = BTreeSet::new();
    let deadline = Instant::now() + DEADLINE;
    while ends(log).await.values().all(|end| *end == 0) {
        assert!(Instant::now() < deadline, "no record was folded: its worker has no partition");
        created.insert(create_and_read(client, annals).await.0);
    }
    until("all is sent", || async { pending(log).await == 0 }).await;
    created
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_does_not_wait_for_kafka() {
    let (database, prefix, brokers) = (Database::new().await, topic_prefix(), kafka_brokers());
    let settings = [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix)];
    let relay = Process::relay(&database, &settings);
    let annals = Process::serve(&database, &["--role", "api", "--role", "projector"], &settings);
    let (client, log) = (Client::new(), database.client().await);
    let mut created = until_kafka_is_followed(&client, &log, &annals).await;

    relay.signal("STOP");
    let mut token = String::new();
    for _ in 0..40 {
        let (order, its_token) = create_and_read(&client, &annals).await;
        created.insert(order);
        token = its_token;
    }
    assert_eq!((pending(&log).await, rows(&database).await), (40, created.clone()));
    let projects = read(&client, &annals, "/api/projects", &token, 1).await.status();
    assert_ne!(projects, StatusCode::OK, "without any event, only the relay says how far it is complete");

    relay.signal("CONT");
    assert_eq!(read(&client, &annals, "/api/projects", &token, 30).await.status(), StatusCode::OK);
    let topic = format!("{prefix}.order");
    let reading = tokio::task::spawn_blocking(move || support::topic::read(&brokers, &topic));
    let records = reading.await.expect("read");
    assert_eq!(records.len(), created.len());
    // What came late is passed over, and where the topic goes on is kept all the same.
    let deadline = Instant::now() + DEADLINE;
    loop {
        created.insert(create_and_read(&client, &annals).await.0);
        let ends = ends(&log).await;
        if records.iter().all(|record| ends[&record.partition] > record.offset) {
            break;
        }
        assert!(Instant::now() < deadline, "{ends:?}");
    }
    let applied = "select sum(applied)::bigint from projections.checkpoints where projection = 'orders'";
    let applied: i64 = log.query_one(applied, &[]).await.expect("a sum").get(0);
    assert_eq!((applied, rows(&database).await), (created.len() as i64, created));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_make_haste_for_who_waits_in_another_process() {
    let (database, prefix, brokers) = (Database::new().await, topic_prefix(), kafka_brokers());
    let settings = [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix)];
    let relay = Process::relay(&database, &settings);
    let _worker = Process::worker(&database, &settings);
    let annals = Process::serve(&database, &["--role", "api"], &settings);
    let (client, log) = (Client::new(), database.client().await);
    let mut created = until_kafka_is_followed(&client, &log, &annals).await;
    relay.signal("STOP");
    for _ in 0..10 {
        created.insert(create_and_read(&client, &annals).await.0);
    }
    assert_eq!((pending(&log).await, rows(&database).await), (10, created));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_wait_beside_writers_miss_nothing() {
    let (database, prefix, brokers) = (Database::new().await, topic_prefix(), kafka_brokers());
    // Batches that are full again and again while the log grows behind them.
    let settings =
        [("kafka_brokers", &*brokers), ("topic_prefix", &*prefix), ("projector_batch_events_max", "2")];
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    create_and_read(&client, &annals).await;
    let clients = (0..12).map(|_| async {
        for _ in 0..25 {
            create_and_read(&client, &annals).await;
        }
    });
    join_all(clients).await;
    let created: BTreeSet<Uuid> = database.events().await.into_iter().map(|event| event.stream_id).collect();
    assert_eq!(created.len(), 301);
    until("all are there", || async { rows(&database).await == created }).await;
    let applied = "select sum(applied)::bigint from projections.checkpoints where projection = 'orders'";
    let applied: i64 = database.client().await.query_one(applied, &[]).await.expect("a sum").get(0);
    assert_eq!(applied, 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_made_on_the_command_line() {
    let database = Database::new().await;
    let settings = [("auth", "keys")];
    let made =
        Process::run(&database, &["keys", "create", "shop", "--role", "consumer", "--json"], &settings);
    let made: Value = made.parse().expect("JSON");
    let key = made["key"].as_str().expect("the key").to_owned();
    let annals = Process::serve(&database, &[], &settings);
    let client = Client::new();
    assert_eq!(create(&client, &annals, "dev-consumer").await.expect("answered").0, StatusCode::UNAUTHORIZED);
    assert_eq!(create(&client, &annals, &key).await.expect("answered").0, StatusCode::CREATED);
    assert_eq!(database.events().await.len(), 2, "the key, and the order");
    let listed: Value =
        Process::run(&database, &["keys", "list", "--json"], &settings).parse().expect("JSON");
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("shop"), &json!("active")));
    assert!(!listed.to_string().contains(&key), "a key is shown once");
    Process::run(&database, &["keys", "revoke", made["id"].as_str().expect("an id")], &settings);
    until("the key is refused", || async {
        create(&client, &annals, &key).await.expect("answered").0 == StatusCode::UNAUTHORIZED
    })
    .await;
    let at_command_line = format!("cli:{}", whoami::username().expect("a name"));
    let admins = database.events().await.into_iter().filter(|event| event.stream_type == "admin");
    let told = admins.map(|event| {
        let metadata: Value = event.metadata.parse().expect("JSON");
        (event.event_type, metadata["actor"].as_str().expect("an actor").to_owned())
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("admin.key_created".to_owned(), at_command_line.clone()),
            ("admin.key_revoked".to_owned(), at_command_line),
        ],
        "auditors see who made and revoked it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_is_told_how_to_make_one() {
    let (database, folder) = (Database::new().await, tempfile::tempdir().expect("a folder"));
    let settings = [("auth", "keys")];
    let path = folder.path().join("log");
    let hints = |settings: &[(&str, &str)]| {
        let log = std::fs::File::create(&path).expect("a file");
        drop(Process::serve_logging(&database, settings, log));
        let said = std::fs::read_to_string(&path).expect("a log");
        said.matches("`annals keys create NAME --role admin` makes one").count()
    };
    assert_eq!((hints(&settings), hints(&[])), (1, 0), "with keys, and with `dev`");
    let create = ["keys", "create", "ops", "--role", "admin", "--json"];
    let made: Value = Process::run(&database, &create, &settings).parse().expect("JSON");
    assert_eq!(hints(&settings), 0);
    Process::run(&database, &["keys", "revoke", made["id"].as_str().expect("an id")], &settings);
    assert_eq!(hints(&settings), 1, "a key that was revoked is none");
}

/// Ends it, and tells how long that takes.
async fn time_to_end(annals: &mut Process) -> Duration {
    let began = Instant::now();
    annals.signal("TERM");
    assert_eq!(annals.end().await, Some(0));
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_off_in_time() {
    let database = Database::new().await;
    let mut annals = Process::serve(&database, &[], &[("shutdown_timeout_seconds", "3")]);
    let client = Client::new();
    let mut locker = database.client().await;
    let lock = locker.transaction().await.expect("begun");
    lock.batch_execute("lock table log.events in access exclusive mode").await.expect("locked");
    let asking = client.post(format!("{}/api/orders", annals.url)).bearer_auth("dev-consumer");
    let asking = asking.header("Content-Type", "application/json").body(support::ORDER).send();
    let waiting = database.client().await;
    let ending = async {
        until("the request and its append wait", || async {
            let row = waiting.query_one(include_str!("support/waits.sql"), &[&"log.append"]).await;
            row.expect("a row").get(0)
        })
        .await;
        time_to_end(&mut annals).await
    };
    let (cut_off, time) = tokio::join!(asking, ending);
    assert!(cut_off.is_err_and(|error| !error.is_connect()), "the request is cut off");
    assert!(time < Duration::from_secs(5), "once the time for both, not for each: {time:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_do_not_answer_are_not_waited_for_at_the_end() {
    let database = Database::new().await;
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let brokers = mute.local_addr().expect("bound").to_string();
    let settings = [
        ("kafka_brokers", &*brokers),
        ("kafka_request_timeout_ms", "60000"),
        ("command_topic_principal", "shop"),
        ("shutdown_timeout_seconds", "1"),
    ];
    let mut annals = Process::serve(&database, &["--role", "api"], &settings);
    let _asked = mute.accept().expect("it asks for the command topic");
    let time = time_to_end(&mut annals).await;
    assert!(time < Duration::from_secs(10), "{time:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_answers_what_was_accepted() {
    let database = Database::new().await;
    let mut annals = Process::serve(&database, &[], &[]);
    let client = Client::new();
    let loads = (0..16).map(|_| async {
        let mut acknowledged = 0;
        // Refused connections are how a client learns that the server has ended; an answer cut off would be a loss.
        loop {
            match create(&client, &annals, "dev-consumer").await {
                Ok((StatusCode::CREATED, _)) => acknowledged += 1,
                Ok((status, answer)) => {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
                    return acknowledged;
                }
                Err(error) if error.is_connect() || error.is_request() => return acknowledged,
                Err(error) => panic!("an answer was cut off: {error:?}"),
            }
        }
    });
    let ending = async {
        until("it is under load", || async { database.events().await.len() > 200 }).await;
        annals.signal("TERM");
    };
    let (acknowledged, ()) = tokio::join!(join_all(loads), ending);
    let acknowledged: usize = acknowledged.into_iter().sum();
    let events = database.events().await.len();
    assert!(
        events >= acknowledged && events <= acknowledged + 16,
        "{events} stored, {acknowledged} acknowledged"
    );
    assert_eq!(annals.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_migrate_at_once_and_a_newer_schema_is_refused() {
    let database = Database::empty().await;
    let url = secrecy::SecretString::from(database.url.clone());
    let timeout = Duration::from_secs(30);
    let migrating = (0..4).map(|_| annals::postgres::migrate_log(&url, timeout));
    let applied: usize =
        join_all(migrating).await.into_iter().map(|applied| applied.expect("migrated").len()).sum();
    assert!(applied > 0);
    let client = database.client().await;
    let known: i64 =
        client.query_one("select count(*) from log.migrations", &[]).await.expect("a count").get(0);
    assert_eq!(applied as i64, known, "each file was applied once");
    annals::postgres::check_log(&database.pool()).await.expect("it fits");
    of_the_future(&database).await;
    let refused = annals::postgres::migrate_log(&url, timeout).await.expect_err("a newer schema");
    assert!(refused.to_string().contains("newer program"), "{refused}");
    let refused = annals::postgres::check_log(&database.pool()).await.expect_err("a newer schema");
    assert!(refused.to_string().contains("newer program"), "{refused}");
}

/// A newer program migrates.
async fn of_the_future(database: &Database) {
    let sql = "insert into log.migrations select 999, 'of_the_future', applied_on, checksum from log.migrations limit 1";
    database.client().await.batch_execute(sql).await.expect("a migration of a newer program");
}

async fn ready(url: &str) -> Option<(StatusCode, Value)> {
    let response = reqwest::get(format!("{url}/health/ready")).await.ok()?;
    Some((response.status(), response.text().await.ok()?.parse().expect("JSON")))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_newer_program_takes_over_the_older_one_is_ready() {
    let database = Database::new().await;
    let annals = Process::serve(&database, &[], &[]);
    of_the_future(&database).await;
    until("it tells of the newer schema", || async {
        let (status, health) = ready(&annals.url).await.expect("answered");
        assert_eq!(status, StatusCode::OK);
        health["dependencies"]["schema"]["status"] == "degraded"
    })
    .await;
    let (status, _) = create(&Client::new(), &annals, "dev-consumer").await.expect("answered");
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_without_the_api_is_watched_on_a_listener_of_its_own() {
    let database = Database::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let worker = Process::worker(&database, &[("metrics_listen", &address)]);
    let url = format!("http://{address}");
    until("the worker follows the log", || async {
        let health = ready(&url).await.map(|(_, health)| health).unwrap_or_default();
        health["status"] == "up" && health["dependencies"]["projection:orders"]["status"] == "up"
    })
    .await;
    let (_, health) = ready(&url).await.expect("answered");
    assert!(health["dependencies"].get("kafka").is_none(), "no relay runs here: {health}");
    until("its metrics are told", || async {
        let metrics = reqwest::get(format!("{url}/metrics")).await.expect("answered");
        metrics.text().await.expect("a body").contains("annals_projection_lag_events{projection=\"orders\"}")
    })
    .await;
    let api = reqwest::get(format!("{url}/api/orders")).await.expect("answered");
    assert_eq!(api.status(), StatusCode::NOT_FOUND, "nothing else is served there");
    drop(worker);
}
