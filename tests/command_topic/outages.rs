//! Kafka that is away, and a topic of commands that was deleted.

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::Producer,
};
use serde_json::Value;

use crate::{SENT_WITHIN, Stage, broker::Broker, support::until};

impl Stage {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("an admin client")
    }

    /// Deletes the topic of commands.
    async fn delete_commands(&self) {
        let deleted = self.admin().delete_topics(&[&self.commands()], &AdminOptions::new()).await;
        let deleted = deleted.expect("answered");
        assert!(deleted[0].is_ok(), "{deleted:?}");
        until("it is gone", || async {
            let found = self.sender.client().fetch_metadata(None, SENT_WITHIN).expect("metadata");
            !found.topics().iter().any(|topic| topic.name() == self.commands())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_taken_from_is_told() {
    let stage = Stage::new().await;
    // Nobody listens there.
    let server = stage.serve(&[("kafka_brokers", "127.0.0.1:1")]);
    until("it is told", || async {
        let ready = reqwest::get(format!("{}/health/ready", server.url)).await.expect("answered");
        assert_eq!(ready.status(), 200, "commands over HTTP are taken");
        let ready: Value = ready.json().await.expect("JSON");
        let topic = &ready["dependencies"]["command-topic"];
        topic["status"] == "degraded" && topic["detail"].is_string()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_made_again_and_taken_from() {
    let stage = Stage::new().await;
    let _server = stage.serve(&[]);
    stage.topics_are_there().await;
    stage.delete_commands().await;
    stage.topics_are_there().await;
}

/// A topic that was made anew counts its leaders' epochs from 0 again: who knew higher ones may take its leaders for outdated.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_unseen_is_taken_from() {
    let broker = Broker::start().await;
    let stage = Stage::over(broker.address()).await;
    let server = stage.serve(&[]);
    stage.topics_are_there().await;
    for _ in 0..2 {
        broker.down().await;
        broker.up().await;
    }
    stage.create_counters(1..=5);
    stage.replied(5).await;
    server.signal("STOP");
    stage.delete_commands().await;
    let topic = stage.commands();
    let anew = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    let made = stage.admin().create_topics([&anew], &AdminOptions::new()).await.expect("answered");
    assert!(made[0].is_ok(), "{made:?}");
    server.signal("CONT");
    let stage = Stage { sender: Stage::over(broker.address()).await.sender, ..stage };
    stage.create_counters(6..=20);
    stage.replied(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_under_a_running_server_is_told_until_it_is_back() {
    let broker = Broker::start().await;
    let stage = Stage::over(broker.address()).await;
    let server = stage.serve(&[]);
    let is = async |wanted: &str| {
        until(&format!("the command topic is {wanted}"), || async {
            let ready = reqwest::get(format!("{}/health/ready", server.url)).await.expect("answered");
            let ready: Value = ready.json().await.expect("JSON");
            ready["dependencies"]["command-topic"]["status"] == wanted
        })
        .await;
    };
    is("up").await;
    broker.down().await;
    is("degraded").await;
    broker.up().await;
    is("up").await;
}
