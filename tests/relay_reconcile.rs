//! Topics compared with the log, and sent again where they differ, while commands go on.

#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use annals::{
    log::{Expected, Position},
    relay::Outbox,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use stage::Stage;
use support::{ORDER, append, append_to, process::Process, topic::assert_in_order, until};
use tokio::task::spawn_blocking;
use uuid::Uuid;

impl Stage {
    /// Waits until no topic differs from the log.
    async fn is_mended(&self) {
        until("every topic is the log again", || async {
            self.compare().await.iter().all(|comparison| !comparison.is_wrong())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_hold_the_log_do_not_differ() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    stage.append_orders(60).await;
    stage.append(append("project.created", "{}")).await;
    stage.relayed(61).await;
    let compared = stage.compare().await;
    assert!(compared.iter().all(|comparison| !comparison.is_wrong()), "{compared:?}");
    assert_eq!(compared.iter().map(|comparison| comparison.events).collect::<Vec<_>>(), [60, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_strangers_and_repeats_are_found_and_a_fresh_incarnation_has_none() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(90).await;
    stage.append(append("project.created", "{}")).await;
    stage.relayed(91).await;
    relay.shut_down().await;
    let topic = stage.topic("order");
    let records = topic.read().await;
    topic.delete().await;
    topic.create().await;
    // A hole in the middle, one at the beginning, and a partition whose last record comes twice.
    let [first, second, third] = [&records[&0], &records[&1], &records[&2]];
    let middle = first.len() / 2;
    topic.write(0, first.iter().take(middle).chain(&first[middle + 2..])).await;
    topic.write(1, second.iter().skip(1)).await;
    topic.write(2, third.iter().chain(third.last())).await;
    let missing: BTreeSet<Position> =
        [&first[middle], &first[middle + 1], &second[0]].map(|record| record.event.position).into();

    // The relay cannot see them: the ends are as it left them.
    let _relay = stage.relay().await;
    stage.append_orders(10).await;
    stage.relayed(101).await;
    let compared = stage.compare().await;
    let [order, project] = &compared[..] else { panic!("{compared:?}") };
    assert_eq!(order.missing.first.iter().copied().collect::<BTreeSet<_>>(), missing);
    assert_eq!((order.foreign.count, order.repeated.count), (0, 1));
    assert!(order.is_wrong() && !project.is_wrong());

    stage.send_again("order").await;
    stage.append_orders(10).await;
    stage.relayed(111).await;
    stage.assert_topic_is_log("order").await;
    stage.assert_topic_is_log("project").await;
    assert!(stage.compare().await.iter().all(|comparison| !comparison.is_wrong()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_gone_lacks_all_and_is_not_made_by_looking() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(30).await;
    stage.relayed(30).await;
    relay.shut_down().await;
    stage.topic("order").delete().await;
    for _ in 0..2 {
        assert_eq!(stage.compare().await[0].missing.count, 30);
    }
    assert!(!stage.topic("order").exists().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_relay_sends_again_too() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(30).await;
    stage.relayed(30).await;
    let before = Outbox::read(&stage.database.pool()).await.expect("readable");
    assert_eq!(before.lag(), 0);
    let epoch = before.lease.expect("it relays").epoch;
    stage.send_again("order").await;
    until("the topic has all of it again", || async {
        // The end of its lease counts as a holder, and so do who makes the topics anew and the next one.
        relay.status.borrow().epoch >= Some(epoch + 3) && !stage.compare().await[0].is_wrong()
    })
    .await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_tells_and_mends() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(30).await;
    stage.relayed(30).await;
    let run = |arguments: &'static [&'static str]| -> Value {
        let settings = [("kafka_brokers", &*support::kafka_brokers()), ("topic_prefix", &*stage.prefix)];
        Process::run(&stage.database, &[&["relay"], arguments, &["--json"]].concat(), &settings)
            .parse()
            .expect("JSON")
    };
    let status = run(&["status"]);
    assert_eq!((&status["cursor"], &status["head"], &status["lag"]), (&30.into(), &30.into(), &0.into()));
    assert!(status["lease"]["epoch"].as_i64() >= Some(1), "{status}");
    assert!(status["partitions"].as_array().expect("partitions").iter().any(|sent| sent["last_sent"] == 30));
    let good = run(&["reconcile"]);
    let orders = |report: &Value| {
        let topics = report["topics"].as_array().expect("topics");
        topics.iter().find(|topic| topic["stream_type"] == "order").expect("orders").clone()
    };
    assert_eq!((&orders(&good)["events"], &good["sent_again"]), (&30.into(), &json!([])));

    relay.shut_down().await;
    assert!(run(&["status"])["lease"].is_null());
    let topic = stage.topic("order");
    let records = topic.read().await;
    topic.delete().await;
    topic.create().await;
    for (partition, records) in &records {
        topic.write(*partition, records.iter().skip(1)).await;
    }
    let report = run(&["reconcile", "--dry-run"]);
    assert_eq!((&orders(&report)["missing"]["count"], &report["sent_again"]), (&3.into(), &json!([])));
    let _relay = stage.relay().await;
    assert_eq!(run(&["reconcile"])["sent_again"], json!([format!("{}.order", stage.prefix)]));
    stage.is_mended().await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_at_the_end_alone_costs_no_topic() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(60).await;
    stage.relayed(60).await;
    relay.shut_down().await;
    let topic = stage.topic("order");
    let records = topic.read().await;
    topic.delete().await;
    topic.create_with(&[("min.insync.replicas", "1"), ("segment.ms", "7200000")]).await;
    let kept = records[&0].len() / 2;
    topic.write(0, records[&0].iter().take(kept)).await;
    let lacking = (60 - kept) as u64;
    let compared = &stage.compare().await[0];
    assert_eq!((compared.missing.count, compared.behind), (lacking, lacking));
    assert!(compared.missing.first.is_sorted());
    assert!(compared.is_wrong() && !compared.is_beyond_repair());

    let settings = [("kafka_brokers", &*support::kafka_brokers()), ("topic_prefix", &*stage.prefix)];
    let report = Process::run(&stage.database, &["relay", "reconcile", "--json"], &settings);
    let report: Value = report.parse().expect("JSON");
    assert_eq!(report["sent_again"], json!([]));
    assert_eq!(topic.read().await[&0].len(), kept, "it was left as it is");
    let _relay = stage.relay().await;
    stage.is_mended().await;
    stage.assert_topic_is_log("order").await;
    // Where it has to be made again, it has the settings that its owner gave it.
    stage.send_again("order").await;
    stage.is_mended().await;
    stage.assert_topic_is_log("order").await;
    assert_eq!(topic.settings().await.get("segment.ms").map(String::as_str), Some("7200000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_was_to_forget_is_not_missing() {
    let stage = Stage::new().await;
    let topic = stage.topic("order");
    topic.create_with(&[("retention.ms", "3600000")]).await;
    let _relay = stage.relay().await;
    stage.append_orders(60).await;
    stage.relayed(60).await;
    topic.empty().await;
    let compared = &stage.compare().await[0];
    assert_eq!((compared.missing.count, compared.forgotten), (0, 60));
    stage.append_orders(40).await;
    stage.relayed(100).await;
    let compared = &stage.compare().await[0];
    assert_eq!((compared.missing.count, compared.forgotten, compared.events), (0, 60, 100));
}

/// Creates orders and confirms them over HTTP until it is told to end; `done` counts what was acknowledged.
async fn command(annals: &Process, done: &AtomicUsize, ends: &AtomicBool) {
    let client = Client::new();
    let post = async |path: &str, body: Value, expected: StatusCode| -> Value {
        let request = client.post(format!("{}{path}", annals.url)).bearer_auth("dev-consumer");
        let answer = request.json(&body).send().await.expect("answered");
        assert_eq!(answer.status(), expected, "{path}");
        done.fetch_add(1, Ordering::Relaxed);
        answer.json().await.expect("JSON")
    };
    let order: Value = ORDER.parse().expect("JSON");
    while !ends.load(Ordering::Relaxed) {
        let created = post("/api/orders", order.clone(), StatusCode::CREATED).await;
        let id = created["id"].as_str().expect("an id");
        post(&format!("/api/orders/{id}/confirm"), json!({}), StatusCode::OK).await;
    }
}

/// Asks an admin's way for a comparison, and waits for what comes of it.
async fn reconcile(annals: &Process, options: Value) -> Value {
    let client = Client::new();
    let place = format!("{}/api/admin/relay/reconciles", annals.url);
    let begun = client.post(place).bearer_auth("dev-admin").json(&options).send().await.expect("answered");
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let place = format!("{}{}", annals.url, begun.headers()["location"].to_str().expect("ASCII"));
    let told = async || -> Value {
        let told = client.get(&place).bearer_auth("dev-admin").send().await.expect("answered");
        told.json().await.expect("JSON")
    };
    until("it has ended", async || told().await["state"] != "running").await;
    let told = told().await;
    assert_eq!((&told["state"], &told["error"]), (&json!("done"), &Value::Null), "{told}");
    told
}

/// What was found in the topic of the orders.
fn orders(told: &Value) -> &Value {
    let topics = told["topics"].as_array().expect("topics");
    topics.iter().find(|topic| topic["stream_type"] == "order").expect("orders")
}

impl Stage {
    /// Has thirty orders of three events sent, and takes two records out of the middle of a partition; their positions.
    async fn make_a_hole(&self) -> Vec<Position> {
        let relay = self.relay().await;
        let streams = [(); 30].map(|()| Uuid::now_v7());
        for event in
            [("order.created", ORDER), ("order.confirmed", "{}"), ("order.cancelled", r#"{"reason":"r"}"#)]
        {
            for stream in streams {
                self.append(append_to(stream, Expected::Any, &[event])).await;
            }
        }
        self.relayed(90).await;
        relay.shut_down().await;
        let topic = self.topic("order");
        let records = topic.read().await;
        topic.delete().await;
        topic.create().await;
        let (partition, most) = records.iter().max_by_key(|(_, records)| records.len()).expect("partitions");
        let middle = most.len() / 2;
        for (number, records) in &records {
            let is_kept = |index: &usize| number != partition || !(middle..middle + 2).contains(index);
            let kept = (0..records.len()).filter(is_kept).map(|index| &records[index]);
            topic.write(*number, kept).await;
        }
        most[middle..middle + 2].iter().map(|record| record.event.position).collect()
    }

    /// The read model of the orders, and what the log makes of them: versions by id.
    async fn rows_and_log(&self) -> [BTreeMap<Uuid, i64>; 2] {
        let client = self.database.client().await;
        let rows = client.query("select id, version from projection_orders_1.orders", &[]).await;
        let events = self.database.events().await.into_iter().filter(|event| event.stream_type == "order");
        let rows = rows.expect("readable").iter().map(|row| (row.get(0), row.get(1))).collect();
        [rows, events.map(|event| (event.stream_id, event.version.0)).collect()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_has_a_topic_with_a_hole_sent_again_while_commands_go_on() {
    let stage = Stage::new().await;
    let missing = stage.make_a_hole().await;
    let brokers = support::kafka_brokers();
    let settings = [
        ("kafka_brokers", &*brokers),
        ("topic_prefix", &*stage.prefix),
        ("topic_partitions", "3"),
        // Many transactions, and a lease short enough to wait for.
        ("relay_batch_events_max", "20"),
        ("relay_lease_ttl_ms", "1500"),
    ];
    let annals = Process::serve(&stage.database, &[], &settings);
    let (done, ends) = (AtomicUsize::new(0), AtomicBool::new(false));
    let asking = async {
        let more = async || {
            let before = done.load(Ordering::Relaxed);
            until("commands go on", || async { done.load(Ordering::Relaxed) > before + 20 }).await;
        };
        more().await;
        let told = reconcile(&annals, json!({"dry_run": true})).await;
        let found = orders(&told);
        assert_eq!(found["missing"], json!({"count": missing.len(), "first": missing}), "{told}");
        assert_eq!((&found["behind"], &found["foreign"]["count"]), (&json!(0), &json!(0)), "{told}");
        assert_eq!(told["sent_again"], json!([]));
        let left = stage.topic("order").read().await;
        assert!(left.values().flatten().all(|record| !missing.contains(&record.event.position)), "as it was");

        let before = done.load(Ordering::Relaxed);
        let told = reconcile(&annals, json!({})).await;
        assert!(done.load(Ordering::Relaxed) > before, "commands went on meanwhile");
        assert_eq!(orders(&told)["missing"]["first"], json!(missing));
        assert_eq!(told["sent_again"], json!([format!("{}.order", stage.prefix)]));
        // From here on consumers find the fresh incarnation, however much of it.
        let (mut seen, newest) = (0, stage.database.reader().head().await.expect("a head").0);
        until("all of it comes, and more", async || {
            let (brokers, topic) = (brokers.clone(), format!("{}.order", stage.prefix));
            let records = spawn_blocking(move || support::topic::read(&brokers, &topic)).await.expect("read");
            assert_in_order(&records);
            assert!(records.len() >= seen, "nothing goes again");
            seen = records.len();
            records.iter().any(|record| record.number("ce_position") > newest)
        })
        .await;
        more().await;
        ends.store(true, Ordering::Relaxed);
    };
    tokio::join!(asking, command(&annals, &done, &ends));
    stage.relayed(stage.database.reader().head().await.expect("a head").0).await;
    stage.assert_topic_is_log("order").await;
    let told = reconcile(&annals, json!({"dry_run": true})).await;
    assert!(told["topics"].as_array().expect("topics").iter().all(|topic| topic["missing"]["count"] == 0));
    until("the read model has all", async || {
        let [rows, log] = stage.rows_and_log().await;
        rows == log
    })
    .await;
}
