//! Commands by Kafka: one effect per id whatever is delivered again, an answer to everything, order per key.

#[allow(dead_code, reason = "shared with the tests of the relay")]
#[path = "relay/broker.rs"]
mod broker;
#[path = "command_topic/outages.rs"]
mod outages;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::{Value, json};
use support::{Database, ORDER, kafka_brokers, process::Process, topic, topic_prefix, until};
use tokio::time::Instant;
use uuid::Uuid;

const SENT_WITHIN: Duration = Duration::from_secs(20);

/// A program that takes commands by Kafka, and somebody who sends them.
struct Stage {
    database: Database,
    brokers: String,
    prefix: String,
    sender: BaseProducer,
}

/// A record to be sent.
struct Command<'a> {
    key: &'a str,
    headers: Vec<(&'a str, String)>,
    body: String,
}

impl Stage {
    async fn new() -> Self {
        Self::over(kafka_brokers()).await
    }

    async fn over(brokers: String) -> Self {
        let sender = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        Self { database: Database::new().await, brokers, prefix: topic_prefix(), sender }
    }

    fn serve(&self, settings: &[(&str, &str)]) -> Process {
        let own = [
            ("kafka_brokers", self.brokers.as_str()),
            ("topic_prefix", &self.prefix),
            ("command_topic_principal", "the-shop"),
            ("topic_partitions", "3"),
            ("command_topic_session_timeout_ms", "6000"),
        ];
        Process::serve(&self.database, &["--role", "api"], &[&own, settings].concat())
    }

    fn commands(&self) -> String {
        format!("{}.commands", self.prefix)
    }

    /// The program makes its topics.
    async fn topics_are_there(&self) {
        until("the topics are there", || async {
            let found = self.sender.client().fetch_metadata(None, SENT_WITHIN).expect("metadata");
            ["commands", "replies"].iter().all(|name| {
                let name = format!("{}.{name}", self.prefix);
                found.topics().iter().any(|topic| topic.name() == name && !topic.partitions().is_empty())
            })
        })
        .await;
    }

    fn send(&self, command: &Command<'_>) {
        let headers = command.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let topic = self.commands();
        let record = BaseRecord::to(&topic).key(command.key).payload(&command.body).headers(headers);
        self.sender.send(record).map_err(|(error, _)| error).expect("it is queued");
    }

    /// One for each number, in whatever partitions.
    fn create_counters(&self, numbers: RangeInclusive<usize>) {
        for number in numbers {
            let code = number.to_string();
            self.send(&command(&code, "counter.create", None, None, json!({"code": code})));
        }
        self.sent();
    }

    fn sent(&self) {
        self.sender.flush(SENT_WITHIN).expect("all is sent");
    }

    /// The replies so far, by command, the first one of each; every repeat says the same.
    fn replies(&self) -> BTreeMap<Uuid, Value> {
        let mut replies: BTreeMap<Uuid, Value> = BTreeMap::new();
        for record in topic::read(&self.brokers, &format!("{}.replies", self.prefix)) {
            let reply: Value = record.value.parse().expect("JSON");
            let id: Uuid = record.headers["ce_causationid"].parse().expect("a uuid");
            assert_eq!(reply["command_id"], json!(id));
            assert_eq!(
                record.headers["ce_type"],
                format!("command.{}", reply["status"].as_str().expect("a status"))
            );
            let first = replies.entry(id).or_insert_with(|| reply.clone());
            assert_eq!(*first, reply, "a repeated command gets its first answer");
        }
        replies
    }

    async fn replied(&self, count: usize) -> BTreeMap<Uuid, Value> {
        until("everything has its reply", || async { self.replies().len() >= count }).await;
        self.replies()
    }
}

fn command<'a>(
    key: &'a str,
    ce_type: &str,
    id: Option<Uuid>,
    subject: Option<String>,
    body: Value,
) -> Command<'a> {
    let mut headers = vec![("ce_type", ce_type.to_owned()), ("ce_correlationid", format!("about-{key}"))];
    headers.extend(id.map(|id| ("ce_id", id.to_string())));
    headers.extend(subject.map(|subject| ("ce_subject", subject)));
    Command { key, headers, body: body.to_string() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_id_takes_effect_once_though_servers_die_and_records_come_again() {
    let stage = Stage::new().await;
    let server = stage.serve(&[]);
    stage.topics_are_there().await;
    let created = Uuid::now_v7();
    let create = command("new", "counter.create", Some(created), None, json!({"code": "s3cret"}));
    stage.send(&create);
    stage.send(&create);
    stage.sent();
    let reply = &stage.replied(1).await[&created];
    assert_eq!((&reply["status"], &reply["result"]["counter"]), (&json!("done"), &json!(0)));
    let counter = reply["subject"].as_str().expect("a subject").to_owned();

    // Half of them name their id and come twice; half are known by their place in the topic.
    let ids: Vec<Uuid> = (0..300).map(|_| Uuid::now_v7()).collect();
    for (n, id) in ids.iter().enumerate() {
        let key = format!("key-{}", n % 7);
        let body = json!({"by": 1});
        stage.send(&command(&key, "counter.increment", Some(*id), Some(counter.clone()), body.clone()));
        stage.send(&command(&key, "counter.increment", Some(*id), Some(counter.clone()), body.clone()));
        stage.send(&command(&key, "counter.increment", None, Some(counter.clone()), body));
    }
    stage.sent();
    until("it is in the midst of them", || async { stage.database.events().await.len() > 50 }).await;
    server.kill();
    let (one, other) = (stage.serve(&[]), stage.serve(&[]));
    until("more are done", || async { stage.database.events().await.len() > 250 }).await;
    one.kill();
    let replies = stage.replied(1 + 2 * ids.len()).await;
    assert_eq!(replies.len(), 1 + 2 * ids.len(), "nothing else was taken for a command");
    assert!(replies.values().all(|reply| reply["status"] == "done"), "{replies:?}");
    let counted: BTreeSet<_> =
        replies.values().filter_map(|reply| reply["result"]["counter"].as_u64()).collect();
    assert!(counted.into_iter().eq(0..=600), "each has an effect and an answer of its own");
    let events = stage.database.events().await;
    assert_eq!(events.len(), 601);
    assert!(events.iter().all(|event| event.metadata.as_str().contains("the-shop")), "the configured actor");
    let records = topic::read(&kafka_brokers(), &stage.commands());
    assert_eq!(records.len(), 902);
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_and_holds_nobody_up() {
    let stage = Stage::new().await;
    let _server = stage.serve(&[]);
    stage.topics_are_there().await;
    let order: Value = ORDER.parse().expect("JSON");
    let [created, twin, ship, invalid, endless, unknown, subject, elsewhere, last] =
        [(); 9].map(|()| Uuid::now_v7());
    stage.send(&command("o", "order.create", Some(created), None, order.clone()));
    stage.sent();
    let reply = stage.replied(1).await[&created].clone();
    let id = reply["subject"].as_str().expect("a subject").to_owned();
    let bare = id.split_once('/').expect("a type").1.to_owned();
    // Blank strings count as missing, as over HTTP.
    let odd =
        json!({"customer_id": " ", "items": [{"sku": "tea", "quantity": 0}], "total": 1, "external_id": ""});
    let shipping = json!({"carrier": "c", "tracking": "t"});
    let id_of = |text: &str| Some(text.to_owned());
    for command in [
        command("o", "order.create", Some(twin), None, order.clone()),
        command("o", "order.ship", Some(ship), Some(bare), shipping.clone()),
        command("o", "order.create", Some(invalid), None, odd),
        // With more faults than a record can list.
        command("o", "order.create", Some(endless), None, json!({"items": vec![json!({}); 20_000]})),
        command("o", "order.sing", Some(unknown), None, json!({})),
        command("o", "order.ship", Some(subject), id_of("order/nothing"), shipping.clone()),
        command("o", "order.ship", Some(elsewhere), Some(id.replace("order", "counter")), shipping),
        Command { key: "o", headers: vec![], body: "{".into() },
        Command { key: "o", headers: vec![("ce_type", "order.create".into())], body: "{".into() },
        // The same id for another command.
        command("o", "order.cancel", Some(created), Some(id.clone()), json!({"reason": "r"})),
        command("o", "order.confirm", Some(last), Some(id), json!({})),
    ] {
        stage.send(&command);
    }
    stage.sent();
    let replies = until_last(&stage, last).await;
    let said = |id: Uuid| {
        (replies[&id]["status"].as_str().expect("a status"), replies[&id]["problem"]["type"].as_str())
    };
    assert_eq!(said(twin), ("done", None));
    assert_eq!(said(ship), ("rejected", Some("/problems/rejected")));
    assert_eq!(replies[&ship]["problem"]["state"], "created");
    assert_eq!(said(invalid), ("failed", Some("/problems/validation-failed")));
    let pointers: Vec<_> = replies[&invalid]["problem"]["errors"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| &fault["pointer"])
        .collect();
    assert_eq!(pointers, ["/customer_id", "/items/0/quantity"]);
    assert_eq!(said(endless), ("failed", Some("/problems/validation-failed")));
    assert_eq!(replies[&endless]["problem"]["errors"].as_array().map(Vec::len), Some(100));
    assert_eq!(said(unknown), ("failed", Some("/problems/not-found")));
    assert_eq!(said(subject), ("failed", Some("/problems/malformed")));
    assert_eq!(said(elsewhere), ("failed", Some("/problems/malformed")));
    assert_eq!(said(last), ("done", None));
    let malformed =
        replies.values().filter(|reply| reply["problem"]["type"] == "/problems/malformed").count();
    assert_eq!(malformed, 4, "those without an id have replies too");
    let types: Vec<_> = stage.database.events().await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(types, ["order.created", "order.created", "order.confirmed"]);
}

/// The replies when `last` has its own; the reused id is answered twice, differently.
async fn until_last(stage: &Stage, last: Uuid) -> BTreeMap<Uuid, Value> {
    let read = || {
        let records = topic::read(&kafka_brokers(), &format!("{}.replies", stage.prefix));
        let reply = |value: &str| value.parse::<Value>().expect("JSON");
        records
            .iter()
            .map(|record| {
                (
                    reply(&record.value)["command_id"].as_str().expect("an id").parse().expect("a uuid"),
                    reply(&record.value),
                )
            })
            .collect()
    };
    until("the last one is answered", || async {
        let replies: BTreeMap<Uuid, Value> = read();
        replies.contains_key(&last)
    })
    .await;
    let replies: BTreeMap<Uuid, Value> = read();
    let reused =
        replies.values().filter(|reply| reply["problem"]["type"] == "/problems/idempotency-key-reused");
    assert_eq!(reused.count(), 1);
    replies
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_key_keep_their_order() {
    let stage = Stage::new().await;
    let _server = stage.serve(&[]);
    stage.topics_are_there().await;
    let keys: Vec<String> = (0..5).map(|n| format!("counter-{n}")).collect();
    for key in &keys {
        stage.send(&command(key, "counter.create", None, None, json!({"code": key})));
    }
    stage.sent();
    let replies = stage.replied(keys.len()).await;
    let counters: Vec<_> =
        replies.values().map(|reply| reply["subject"].as_str().expect("a subject").to_owned()).collect();
    for n in 1..=40 {
        for (key, counter) in keys.iter().zip(&counters) {
            stage.send(&command(key, "counter.increment", None, Some(counter.clone()), json!({ "by": n })));
        }
    }
    stage.sent();
    stage.replied(keys.len() * 41).await;
    let mut amounts: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
    for event in
        stage.database.events().await.iter().filter(|event| event.event_type == "counter.incremented")
    {
        let data: Value = event.data.parse().expect("JSON");
        amounts.entry(event.stream_id).or_default().push(data["by"].as_u64().expect("a number"));
    }
    assert_eq!(amounts.len(), 5);
    assert!(amounts.values().all(|amounts| amounts.iter().copied().eq(1..=40)), "{amounts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_older_than_the_ids_that_are_kept_is_refused() {
    let stage = Stage::new().await;
    let mut server = stage.serve(&[]);
    stage.topics_are_there().await;
    server.signal("TERM");
    assert_eq!(server.end().await, Some(0));
    let (old, sent) = (Uuid::now_v7(), Instant::now());
    stage.send(&command("k", "counter.create", Some(old), None, json!({"code": "c"})));
    stage.sent();
    until("its id would be forgotten", || async { sent.elapsed() > Duration::from_millis(2_100) }).await;
    let _server = stage.serve(&[("command_keep_seconds", "1")]);
    let reply = &stage.replied(1).await[&old];
    assert_eq!(
        (&reply["status"], &reply["problem"]["type"]),
        (&json!("failed"), &json!("/problems/malformed"))
    );
    assert!(stage.database.events().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_admins_do_is_no_command_here_and_its_health_is_told() {
    let stage = Stage::new().await;
    let server = stage.serve(&[]);
    stage.topics_are_there().await;
    let acts = ["admin.create-key", "admin.revoke-key", "admin.act"];
    let body = json!({"name": "mine", "roles": ["admin"], "key_hash": "00"});
    let ids = acts.map(|act| {
        let id = Uuid::now_v7();
        stage.send(&command("a", act, Some(id), Some(Uuid::now_v7().to_string()), body.clone()));
        id
    });
    stage.sent();
    let replies = stage.replied(acts.len()).await;
    for id in ids {
        assert_eq!(replies[&id]["problem"]["type"], "/problems/not-found", "{}", replies[&id]);
    }
    assert!(stage.database.events().await.is_empty());
    let ready = reqwest::get(format!("{}/health/ready", server.url)).await.expect("answered");
    let ready: Value = ready.json().await.expect("JSON");
    assert_eq!(ready["dependencies"]["command-topic"]["status"], "up", "{ready}");
}
