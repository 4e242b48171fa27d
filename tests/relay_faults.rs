//! The relay where something is not as it left it: topics that lost records, leases that went, logs that do not match.

#[path = "relay/stage.rs"]
mod stage;
mod support;
#[path = "relay/topic.rs"]
mod topic;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use annals::relay::Role;
use stage::{Relay, Stage};
use support::{append, until};
use tokio_util::task::AbortOnDropHandle;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_is_filled_again() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(100).await;
    stage.append(append("project.created", "{}")).await;
    stage.relayed(101).await;
    relay.shut_down().await;
    let before = stage.database.reader().stream_types().await.expect("readable");
    stage.topic("order").delete().await;
    stage.append_orders(20).await;
    let _relay = stage.relay().await;
    stage.relayed(121).await;
    stage.assert_topic_is_log("order").await;
    stage.assert_topic_is_log("project").await;
    let after = stage.database.reader().stream_types().await.expect("readable");
    assert_ne!(before["order"].topic_id, after["order"].topic_id);
    assert_eq!(before["project"].topic_id, after["project"].topic_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_under_a_running_relay_is_filled_again() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    stage.append_orders(100).await;
    stage.relayed(100).await;
    stage.topic("order").delete().await;
    stage.topic("order").create().await;
    stage.append_orders(20).await;
    stage.relayed(120).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_lost_its_end_is_rewound() {
    let stage = Stage::new().await;
    let relay = stage.relay().await;
    stage.append_orders(90).await;
    stage.relayed(90).await;
    relay.shut_down().await;
    let topic = stage.topic("order");
    let records = topic.read().await;
    topic.delete().await;
    topic.create().await;
    // One partition keeps all, one keeps half, one is empty.
    for (partition, kept) in [(0, usize::MAX), (1, records[&1].len() / 2), (2, 0)] {
        topic.write(partition, records[&partition].iter().take(kept)).await;
    }
    stage.append_orders(10).await;
    let _relay = stage.relay().await;
    stage.relayed(100).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_relays_and_another_takes_over_when_it_dies() {
    let stage = Stage::new().await;
    let first = stage.relay().await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let second = stage.relay().await;
    until("the second stands by", || async { second.role() == Role::Standby }).await;
    assert_eq!(first.role(), Role::Leader);
    drop(first);
    stage.append_orders(10).await;
    let takeover = stage.relayed(20);
    tokio::time::timeout(Duration::from_secs(5), takeover).await.expect("within 5 s");
    assert_eq!(second.role(), Role::Leader);
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lost_its_lease_stands_by() {
    let stage = Stage::new().await;
    let first = stage.relay().await;
    stage.append_orders(10).await;
    stage.relayed(10).await;
    let client = stage.database.client().await;
    let steal = include_str!("relay/steal_lease.sql");
    client.batch_execute(steal).await.expect("stolen");
    until("the first stands by", || async { first.role() == Role::Standby }).await;
    stage.append_orders(10).await;
    // It takes the lease again once the thief's is over.
    stage.relayed(20).await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_from_before_is_fenced() {
    for mode in ["exactly-once", "low-latency"] {
        let stage = Stage::new().await;
        stage.append_orders(40).await;
        let relay = stage.relay_with(&[("relay_mode", mode)]).await;
        stage.relayed(40).await;
        relay.shut_down().await;
        let topic = stage.topic("order");
        let records = topic.read().await;
        let log_id = stage.database.identity().await.log_id;
        // Two producers take turns, and either may be the one that was cut off.
        let mut zombies = Vec::new();
        for turn in 0..2 {
            let id = format!("{}.relay.{log_id}.{turn}", stage.prefix);
            zombies.push((turn, topic.begin_as(&id, &records[&0]).await));
        }
        stage.append_orders(10).await;
        let _relay = stage.relay_with(&[("relay_mode", mode)]).await;
        stage.relayed(50).await;
        for (turn, zombie) in zombies {
            assert!(zombie.commit().await.is_err(), "{mode}: a fenced producer cannot commit (turn {turn})");
        }
        stage.assert_topic_is_log("order").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_other_partitions_is_refused_until_it_is_gone() {
    let stage = Stage::new().await;
    let wrong = stage.topic_of("order", 5);
    wrong.create().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    relay.stopped_for("has 5 partitions, the log fixed 3").await;
    wrong.delete().await;
    stage.relayed(10).await;
    stage.assert_topic_is_log("order").await;
    assert_eq!(relay.status.borrow().stopped, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_another_log_are_refused() {
    let stage = Stage::new().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    stage.relayed(10).await;
    relay.shut_down().await;
    let other = Stage::with(stage.prefix.clone(), support::kafka_brokers()).await;
    other.append_orders(30).await;
    let refused = other.relay().await;
    refused.stopped_for("holds events of another log").await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_restored_from_an_older_backup_is_refused() {
    let stage = Stage::new().await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    stage.relayed(10).await;
    relay.shut_down().await;
    let restored = Stage::with(stage.prefix.clone(), support::kafka_brokers()).await;
    let client = restored.database.client().await;
    let log_id = stage.database.identity().await.log_id;
    client.execute(include_str!("relay/take_identity.sql"), &[&log_id]).await.expect("it is the same log");
    restored.append_orders(5).await;
    restored.relay().await.stopped_for("was restored from an older backup").await;
    restored.append_orders(20).await;
    restored.relay().await.stopped_for("was restored from an older backup").await;
    stage.assert_topic_is_log("order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_keeps_the_last_event_of_a_stream_alone_is_refused() {
    let stage = Stage::new().await;
    let topic = stage.topic("order");
    topic.create_with(&[("cleanup.policy", "compact")]).await;
    stage.append_orders(10).await;
    let relay = stage.relay().await;
    relay.stopped_for("is compacted").await;
    topic.delete().await;
    stage.relayed(10).await;
    stage.assert_topic_is_log("order").await;
}

/// Has a relay look at its topics all the time.
const LOOKING: (&str, &str) = ("relay_topics_interval_ms", "100");

/// Takes down what a relay says keeps it, until it is dropped.
struct Reasons {
    said: Arc<Mutex<Vec<String>>>,
    _listening: AbortOnDropHandle<()>,
}

impl Reasons {
    fn of(relay: &Relay) -> Self {
        let reasons = Arc::<Mutex<Vec<String>>>::default();
        let (mut status, said) = (relay.status.clone(), reasons.clone());
        let listening = tokio::spawn(async move {
            while status.changed().await.is_ok() {
                let stopped = status.borrow_and_update().stopped.clone();
                said.lock().expect("nobody panicked").extend(stopped);
            }
        });
        Self { said: reasons, _listening: AbortOnDropHandle::new(listening) }
    }

    fn include(&self, reason: &str) -> bool {
        self.said.lock().expect("nobody panicked").iter().any(|said| said.contains(reason))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_at_rest_finds_its_topic_deleted() {
    let stage = Stage::new().await;
    // Small batches, so that it can be watched.
    let relay = stage.relay_with(&[LOOKING, ("relay_batch_events_max", "5")]).await;
    stage.append_orders(100).await;
    stage.append(append("project.created", "{}")).await;
    stage.relayed(101).await;
    let reasons = Reasons::of(&relay);
    stage.topic("order").delete().await;
    until("it says so", || async { reasons.include("is gone") }).await;
    stage.topics_are_log().await;
    assert!(reasons.include("lost what was sent to it after position 0"));
    until("all is well", || async { relay.status.borrow().stopped.is_none() }).await;
    stage.append_orders(10).await;
    stage.relayed(111).await;
    stage.assert_topic_is_log("order").await;
    stage.assert_topic_is_log("project").await;
    assert_eq!(relay.role(), Role::Leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_at_rest_finds_its_topic_emptied() {
    let stage = Stage::new().await;
    let relay = stage.relay_with(&[LOOKING]).await;
    stage.append_orders(100).await;
    stage.relayed(100).await;
    let reasons = Reasons::of(&relay);
    stage.topic("order").empty().await;
    until("it says so", || async { reasons.include("was emptied") }).await;
    stage.topics_are_log().await;
    assert_eq!(relay.role(), Role::Leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_forgets_on_purpose_is_not_filled_again_under_a_relay() {
    let stage = Stage::new().await;
    stage.topic("order").create_with(&[("retention.ms", "3600000")]).await;
    let relay = stage.relay_with(&[LOOKING]).await;
    stage.append_orders(100).await;
    stage.relayed(100).await;
    let reasons = Reasons::of(&relay);
    stage.topic("order").empty().await;
    // One after the other, so that the topic is looked at meanwhile.
    for position in 101..=160 {
        stage.append_orders(1).await;
        stage.relayed(position).await;
    }
    assert!(!reasons.include(""), "nothing stopped it");
    let mut left: Vec<_> = stage.topic("order").read().await.into_values().flatten().collect();
    left.sort_by_key(|record| record.event.position);
    assert_eq!(left.len(), 60);
    assert_eq!(left[0].event.position.0, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_keep_all_for_ever_whatever_the_broker_does() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    stage.append_orders(1).await;
    stage.relayed(1).await;
    let topic = stage.topic("order");
    let own = topic.settings().await;
    for (setting, wanted) in [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")]
    {
        assert_eq!(own.get(setting).map(String::as_str), Some(wanted), "{setting} of the topic itself");
    }
    assert!(!stage.forgets("order").await);
    // One that forgets on purpose is not filled again by whoever finds it empty.
    stage.topic("project").create_with(&[("retention.ms", "3600000")]).await;
    assert!(stage.forgets("project").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rumour_costs_nobody_the_next_events() {
    let stage = Stage::new().await;
    // Only who is woken relays.
    let relay = stage.relay_with(&[("relay_poll_interval_ms", "60000")]).await;
    stage.append_orders(5).await;
    stage.relayed(5).await;
    let client = stage.database.client().await;
    client.execute(include_str!("../src/log/notify.sql"), &[&"1000000"]).await.expect("anybody may");
    for position in 6..=8 {
        stage.append_orders(1).await;
        let relayed = tokio::time::timeout(Duration::from_secs(20), stage.relayed(position));
        relayed.await.expect("long before the poll");
    }
    assert_eq!(relay.role(), Role::Leader);
}
