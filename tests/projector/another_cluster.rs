//! Kafka replaced by another cluster under projectors that read it: none of its topics, offsets and groups is there.

use std::collections::BTreeSet;

use annals::{
    kafka,
    projector::{Folder, Status},
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    broker::Broker,
    over_kafka::from_kafka,
    stage::{Counters, Stage, shipped},
    support::{
        topic::{self, assert_in_order},
        until,
    },
};

const STANDING: &str = include_str!("standing.sql");

/// The counters, which would park a stream rather than stop.
fn counters_that_park() -> Folder {
    let mut files = shipped("counters").files().clone();
    let definition = files["projection.toml"].replace(r#"on_error = "stop""#, r#"on_error = "park""#);
    assert!(files.insert("projection.toml".to_owned(), definition.clone()) != Some(definition));
    Folder::parse(files).expect("it loads")
}

impl Stage {
    /// Whether the topic of the counters has each event of the log once; per key in order, in any case.
    async fn is_sent_once(&self) -> bool {
        let (brokers, topic) = (self.brokers.clone(), kafka::topic(&self.prefix, "counter"));
        let records = spawn_blocking(move || topic::read(&brokers, &topic)).await.expect("read");
        assert_in_order(&records);
        let sent: BTreeSet<_> = records.iter().map(|record| record.number("ce_position")).collect();
        assert_eq!(sent.len(), records.len(), "nothing comes twice");
        let events = self.database.events().await;
        sent.into_iter().eq(events.iter().map(|event| event.position.0))
    }

    /// The incarnation of the topic that the log knows, and those that checkpoints speak of.
    async fn incarnations(&self) -> (Uuid, BTreeSet<Uuid>) {
        let client = self.database.client().await;
        let known = "select topic_id from log.stream_types where stream_type = 'counter'";
        let known = client.query_one(known, &[]).await.expect("a row").get(0);
        let followed = "select topic_id from projections.checkpoints where next_offset is not null";
        let followed = client.query(followed, &[]).await.expect("rows");
        (known, followed.iter().map(|row| row.get(0)).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_under_workers_gets_all_in_order_and_they_go_on_with_it() {
    let broker = Broker::start().await;
    let stage = Stage::over(broker.address()).await;
    let _relay = stage.relay_with(&[("relay_topics_interval_ms", "100")]).await;
    let (folder, small) = (counters_that_park(), [("projector_batch_events_max", "10")]);
    let workers =
        [stage.kafka_process(&[&folder], &small).await, stage.kafka_process(&[&folder], &small).await];
    let mut counters = Counters::new(20);
    stage.count(&mut counters, 60).await;
    stage.is_shared_by("counters", 2).await;
    from_kafka(&stage, &mut counters).await;
    stage.assert_counted(&counters).await;
    let (former, _) = stage.incarnations().await;

    broker.down().await;
    stage.count(&mut counters, 30).await;
    broker.replace().await;
    stage.count(&mut counters, 30).await;

    until("its topic is there", || async { stage.incarnations().await.0 != former }).await;
    until("the topic has all again", || stage.is_sent_once()).await;
    stage.assert_counted(&counters).await;
    stage.is_shared_by("counters", 2).await;
    until("the workers follow the new topic alone", async || {
        stage.count(&mut counters, 1).await;
        let (known, followed) = stage.incarnations().await;
        followed == BTreeSet::from([known])
    })
    .await;
    stage.count(&mut counters, 30).await;
    stage.assert_counted(&counters).await;
    until("the topic has those too", || stage.is_sent_once()).await;
    let standing = stage.database.client().await.query_one(STANDING, &[&"counters"]).await.expect("a row");
    let events = stage.database.events().await.len() as i64;
    let standing: [i64; 3] = [0, 1, 2].map(|column| standing.get(column));
    assert_eq!(standing, [events, 0, 0], "all are applied, none ignored, none parked");
    for worker in workers {
        until("nothing keeps it", async || worker.status("counters") == Status::Running).await;
        worker.stop().await;
    }
}
