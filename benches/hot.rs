//! The pure code that every command or record goes through: `cargo bench --bench hot`. What needs Postgres or Kafka is
//! measured by `annals bench` and, beside its peers, by `make bench`.

use annals::{
    aggregate::{AnyAggregate, AnyState, Registry},
    domain,
    json::RawJson,
    kafka,
    log::{Event, Metadata, Position, Version},
};
use divan::{Bencher, black_box, counter::ItemsCount};
use serde_json::Value;
use uuid::Uuid;

/// Of 250 bytes.
const ORDER: &str = include_str!("../src/bench/order.json");

fn main() {
    divan::main();
}

/// The body of a command, checked and decided on an order that is not there yet.
#[divan::bench]
fn decide_an_order(bencher: Bencher) {
    let registry = domain::registry();
    let order = aggregate(&registry, "order");
    let (initial, id) = (order.initial(), Uuid::now_v7());
    let body: Value = serde_json::from_str(ORDER).expect("it is valid");
    bencher.bench(|| {
        assert!(order.check("order.create", &body).is_empty());
        order.decide(&initial, "order.create", &body, id, 0).expect("it is decided")
    });
}

/// A counter from its history.
#[divan::bench(args = [10, 1_000])]
fn fold_a_counter(bencher: Bencher, events: usize) {
    let registry = domain::registry();
    let counter = aggregate(&registry, "counter");
    let created = RawJson::trusted(r#"{"code_hash":"none"}"#);
    let incremented = RawJson::trusted(r#"{"by":1}"#);
    let history = || {
        let later = std::iter::repeat_n(("counter.incremented", 1, &incremented), events - 1);
        std::iter::once(("counter.created", 1, &created)).chain(later)
    };
    bencher.counter(ItemsCount::new(events)).bench(|| -> AnyState {
        counter.fold(&counter.initial(), &mut history()).expect("the history is valid")
    });
}

#[divan::bench]
fn partition_of_a_stream(bencher: Bencher) {
    let id = Uuid::now_v7();
    bencher.bench(|| kafka::partition(black_box(id), 8));
}

/// A record's headers, and what has to be parsed for them.
#[divan::bench]
fn headers_of_a_record(bencher: Bencher) {
    let (event, source) = (event(), kafka::source(Uuid::now_v7()));
    bencher.bench(|| {
        let metadata: Metadata = event.metadata.parse().expect("it was written as such");
        kafka::headers(&event, &metadata, &source, Position(41))
    });
}

fn aggregate<'a>(registry: &'a Registry, stream_type: &str) -> &'a dyn AnyAggregate {
    registry.stream(stream_type).expect("it is registered")
}

fn event() -> Event {
    let metadata = Metadata {
        actor: "bench".into(),
        command_id: Uuid::now_v7(),
        correlation_id: "bench".into(),
        causation_id: None,
        traceparent: None,
    };
    Event {
        position: Position(42),
        stream_type: "order".into(),
        stream_id: Uuid::now_v7(),
        version: Version(1),
        event_id: Uuid::now_v7(),
        event_type: "order.created".into(),
        schema_version: 1,
        data: RawJson::trusted(ORDER),
        metadata: RawJson::of(&metadata),
        recorded_at: chrono::Utc::now(),
    }
}
