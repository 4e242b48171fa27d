//! Projections that read Kafka: the same rows as from the log, whatever becomes of topics and workers.

use annals::{
    kafka,
    log::{Event, Position},
    projector::{Progress, Status},
    read_model::{Freshness, ListQuery, ReadModels},
    relay::Sent,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::net::TcpListener;

use crate::{
    stage::{Counters, Stage, shipped},
    support::{self, DEADLINE, Database, append, process, proxy::Proxy, until},
    topic::Topic,
};

const HOLDERS: &str = include_str!("offsets.sql");

#[tokio::test(flavor = "multi_thread")]
async fn kafka_and_the_log_come_to_the_same_rows_and_take_turns() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(20);
    let folder = shipped("counters");
    let _relay = stage.relay().await;
    stage.count(&mut counters, 60).await;
    let process = stage.kafka_process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
    stage.count(&mut counters, 60).await;
    stage.assert_counted(&counters).await;
    from_kafka(&stage, &mut counters).await;
    process.stop().await;
    stage.count(&mut counters, 30).await;
    let process = stage.process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
    process.stop().await;
    stage.count(&mut counters, 30).await;
    let _process = stage.kafka_process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
}

/// Appends until checkpoints hold offsets: then Kafka is what was read. What a worker finds lost when it begins it reads
/// from the log.
pub(crate) async fn from_kafka(stage: &Stage, counters: &mut Counters) {
    let client = stage.database.client().await;
    until("offsets are kept", async || {
        stage.count(counters, 1).await;
        client.query_one(HOLDERS, &[]).await.expect("a row").get::<_, i64>(0) > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_and_go_and_no_event_is_folded_twice_or_missed() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(30);
    let folder = shipped("counters");
    let _relay = stage.relay().await;
    let small = [("projector_batch_events_max", "5")];
    let lasting = stage.kafka_process(&[&folder], &small).await;
    // The topic comes with its first event.
    stage.count(&mut counters, 1).await;
    stage.is_shared_by("counters", 1).await;
    for _ in 0..3 {
        let killed = stage.kafka_process(&[&folder], &small).await;
        stage.is_shared_by("counters", 2).await;
        stage.count(&mut counters, 40).await;
        drop(killed);
    }
    stage.assert_counted(&counters).await;
    drop(lasting);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_come_later_are_read() {
    let stage = Stage::new().await;
    let folders = [&shipped("counters"), &shipped("orders")];
    let _process = stage.kafka_process(&folders, &[]).await;
    let _relay = stage.relay().await;
    stage.append(append("order.created", support::ORDER)).await;
    stage.folded("orders").await;
    let mut counters = Counters::new(3);
    stage.count(&mut counters, 9).await;
    stage.assert_counted(&counters).await;
}

/// A topic written by hand, so that it can lack and repeat records.
struct Hand<'a> {
    stage: &'a Stage,
    producer: BaseProducer,
}

impl<'a> Hand<'a> {
    async fn new(stage: &'a Stage) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", support::kafka_brokers())
            .create()
            .expect("a producer");
        let topic = kafka::topic(&stage.prefix, "counter");
        create_topic(&topic).await;
        Self { stage, producer }
    }

    /// Writes some of a log's events; `previous` of each is the one before it in its partition, written or not.
    async fn write(&self, log: &Database, which: impl Fn(usize, &Event) -> bool) {
        let topic = kafka::topic(&self.stage.prefix, "counter");
        let source = kafka::source(log.identity().await.log_id);
        let mut previous = [Position(0); 4];
        for (index, event) in log.events().await.iter().enumerate() {
            let partition = kafka::partition(event.stream_id, 4);
            if which(index, event) {
                let metadata = event.metadata.parse().expect("metadata");
                let headers = kafka::headers(event, &metadata, &source, previous[partition as usize]);
                let key = event.stream_id.to_string();
                let record = BaseRecord::to(&topic)
                    .partition(partition)
                    .key(key.as_str())
                    .payload(event.data.as_str())
                    .headers(headers);
                self.producer.send(record).expect("queued");
            }
            previous[partition as usize] = event.position;
        }
        tokio::task::block_in_place(|| self.producer.flush(DEADLINE)).expect("sent");
    }

    /// Notes everything as sent, as the relay does.
    async fn note_sent(&self) {
        let client = self.stage.database.client().await;
        client.batch_execute(include_str!("note_sent.sql")).await.expect("noted");
        for event in self.stage.database.events().await {
            let partition = kafka::partition(event.stream_id, 4);
            client
                .execute(include_str!("last_sent.sql"), &[&partition, &event.position.0])
                .await
                .expect("noted");
        }
    }
}

async fn create_topic(name: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", support::kafka_brokers())
        .create()
        .expect("an admin client");
    let topic = NewTopic::new(name, 4, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new()).await.expect("answered");
    created[0].as_ref().expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_and_repeats_in_a_topic_do_not_show() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 100).await;
    let hand = Hand::new(&stage).await;
    let folder = shipped("counters");
    let _process = stage.kafka_process(&[&folder], &[("projector_batch_events_max", "10")]).await;
    hand.write(&stage.database, |index, _| index % 3 == 0).await;
    hand.write(&stage.database, |index, _| index % 5 != 1).await;
    from_kafka(&stage, &mut counters).await;
    // The last events of some partitions may be among the lost ones: those are told by what was sent.
    hand.note_sent().await;
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_lost_everything_is_made_good_from_the_log() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    stage.count(&mut counters, 50).await;
    let hand = Hand::new(&stage).await;
    hand.note_sent().await;
    let client = stage.database.client().await;
    client.batch_execute(include_str!("steps.sql")).await.expect("noted");
    let small = [("projector_scan_events_max", "3")];
    let _process = stage.kafka_process(&[&shipped("counters")], &small).await;
    stage.assert_counted(&counters).await;
    let longest = client.query_one("select max(step) from public.steps", &[]).await.expect("noted");
    assert_eq!(longest.get::<_, i64>(0), 3, "in steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_anew_is_read_from_its_beginning() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    let mut counters = Counters::new(10);
    let _process = stage.kafka_process(&[&shipped("counters")], &[]).await;
    from_kafka(&stage, &mut counters).await;
    stage.assert_counted(&counters).await;
    let topic = Topic::new(support::kafka_brokers(), kafka::topic(&stage.prefix, "counter"), 4);
    topic.delete().await;
    stage.count(&mut counters, 20).await;
    stage.assert_counted(&counters).await;
    let client = stage.database.client().await;
    let offsets = async || -> Vec<Option<i64>> {
        let sql = "select next_offset from projections.checkpoints order by partition";
        let rows = client.query(sql, &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    };
    let before = offsets().await;
    until("Kafka is read again", async || {
        stage.count(&mut counters, 1).await;
        offsets().await != before
    })
    .await;
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_took_of_rows_and_checkpoints_is_folded_again() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    let mut counters = Counters::new(10);
    let _process = stage.kafka_process(&[&shipped("counters")], &[]).await;
    from_kafka(&stage, &mut counters).await;
    stage.count(&mut counters, 30).await;
    stage.assert_counted(&counters).await;
    let client = stage.database.client().await;
    // Under a worker that goes on: at rest it notices by itself …
    client.batch_execute(include_str!("forget_folds.sql")).await.expect("forgotten");
    stage.assert_counted(&counters).await;
    // … and what it is brought next is not put on top of nothing.
    client.batch_execute(include_str!("forget_folds.sql")).await.expect("forgotten");
    stage.count(&mut counters, 1).await;
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_log_are_refused() {
    let (stage, other) = (Stage::new().await, Stage::new().await);
    let mut counters = Counters::new(10);
    let mut foreign = Counters::new(10);
    stage.count(&mut counters, 20).await;
    other.count(&mut foreign, 20).await;
    let hand = Hand::new(&stage).await;
    hand.write(&other.database, |_, _| true).await;
    hand.write(&stage.database, |_, _| true).await;
    let folder = shipped("counters");
    let _process = stage.kafka_process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
    from_kafka(&stage, &mut counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_stands_still_keeps_its_partitions_and_goes_on() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let _relay = stage.relay().await;
    stage.count(&mut counters, 20).await;
    let folder = shipped("counters");
    let process = stage.kafka_process(&[&folder], &[]).await;
    stage.assert_counted(&counters).await;
    let client = stage.database.client().await;
    let pause = |paused: bool| format!("update projections.projections set paused = {paused}");
    client.batch_execute(&pause(true)).await.expect("paused");
    stage.count(&mut counters, 20).await;
    until("it is paused", async || process.status("counters") == Status::Paused).await;
    client.batch_execute(&pause(false)).await.expect("goes on");
    stage.assert_counted(&counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_s_position_is_how_far_the_read_model_is_complete() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    let _process = stage.kafka_process(&[&shipped("counters")], &[]).await;
    // One stream: all partitions but one stay empty. And an event that the read model does not follow.
    let mut counters = Counters::new(1);
    stage.count(&mut counters, 20).await;
    stage.append(append("order.created", support::ORDER)).await;
    stage.assert_counted(&counters).await;
    let head = stage.database.reader().head().await.expect("a head");
    let config = stage.database.config(&[("read_relay_age_max_ms", "1")]);
    let (log, sent, progress) = (stage.database.reader(), Some(Sent::default()), Progress::new([]));
    let models = ReadModels::new(&config.databases, log, sent, progress, config.reads).expect("a pool");
    let list = ListQuery::parse([("limit", "1")]);
    until("the position is the head", async || {
        let answer = models.list("counters", &list, Freshness::default()).await.expect("an answer");
        assert!(answer.position <= head);
        answer.position == head
    })
    .await;
    stage.count(&mut counters, 1).await;
    let fresh = Freshness { after: stage.database.reader().head().await.ok(), wait: DEADLINE };
    let answer = models.list("counters", &list, fresh).await.expect("an answer");
    assert!(Some(answer.position) >= fresh.after, "what was waited for is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_once_that_kafka_is_away_and_goes_on_when_it_is_back() {
    let stage = Stage::new().await;
    let mut counters = Counters::new(10);
    let free = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let brokers = address.to_string();
    let process = stage.kafka_process(&[&shipped("counters")], &[("kafka_brokers", &brokers)]).await;
    let reason = process.stands_still("counters").await;
    assert!(reason.contains("Kafka does not answer"), "{reason}");
    let _relay = stage.relay().await;
    stage.count(&mut counters, 20).await;
    let broker = support::kafka_brokers().parse().expect("an address");
    let _proxy = Proxy::at(address, broker).await;
    until("it goes on", async || process.status("counters") == Status::Running).await;
    stage.assert_counted(&counters).await;
    from_kafka(&stage, &mut counters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_beyond_its_session_does_no_harm_and_works_again() {
    let stage = Stage::new().await;
    let _relay = stage.relay().await;
    let mut counters = Counters::new(30);
    let brokers = support::kafka_brokers();
    let settings = [
        ("kafka_brokers", &*brokers),
        ("topic_prefix", &*stage.prefix),
        ("projector_session_timeout_ms", "6000"),
        ("projector_batch_events_max", "3"),
    ];
    let stopped = process::Process::worker(&stage.database, &settings);
    let other = process::Process::worker(&stage.database, &settings);
    stage.count(&mut counters, 60).await;
    stage.is_shared_by("counters", 2).await;
    stage.assert_counted(&counters).await;
    stage.count(&mut counters, 30).await;
    // Wherever it is: it may hold rows of a batch beside its partitions.
    stopped.signal("STOP");
    stage.count(&mut counters, 30).await;
    stage.assert_counted(&counters).await;
    stage.is_shared_by("counters", 1).await;
    stopped.signal("CONT");
    stage.is_shared_by("counters", 2).await;
    stage.count(&mut counters, 60).await;
    stage.assert_counted(&counters).await;
    other.kill();
    stage.count(&mut counters, 60).await;
    stage.assert_counted(&counters).await;
    stage.is_shared_by("counters", 1).await;
}
