use proptest::prelude::*;

use super::*;
use crate::{
    json::RawJson,
    log::{Position, Version},
};

const TYPES: [&str; 3] = ["order.created", "order.paid", "order.shipped"];

fn event(position: i64, stream: u8, event_type: usize) -> Event {
    Event {
        position: Position(position),
        stream_type: "order".into(),
        stream_id: Uuid::from_u128(u128::from(stream)),
        version: Version(1),
        event_id: Uuid::nil(),
        event_type: TYPES[event_type].into(),
        schema_version: 1,
        data: RawJson::trusted("{}"),
        metadata: RawJson::trusted("{}"),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0u8..6, 0usize..3), 0..200).prop_map(|drawn| {
        let numbered = (1..).zip(drawn);
        numbered.map(|(position, (stream, kind))| event(position, stream, kind)).collect()
    })
}

fn shape<'a>(groups: &[Group<'a>]) -> Vec<(&'a str, Vec<i64>)> {
    let positions = |group: &Group<'a>| group.events.iter().map(|event| event.position.0).collect();
    groups.iter().map(|group| (group.event_type, positions(group))).collect()
}

#[test]
fn the_second_event_of_a_stream_waits_for_the_second_wave() {
    let events = [event(1, 1, 0), event(2, 1, 1), event(3, 2, 0), event(4, 1, 1), event(5, 2, 2)];
    assert_eq!(
        shape(&cut(events.iter(), Order::Stream)),
        [
            ("order.created", vec![1, 3]),
            ("order.paid", vec![2]),
            ("order.shipped", vec![5]),
            ("order.paid", vec![4]),
        ]
    );
}

#[test]
fn global_order_makes_runs() {
    let events = [event(1, 1, 0), event(2, 2, 0), event(3, 1, 0), event(4, 3, 1), event(5, 4, 0)];
    assert_eq!(
        shape(&cut(events.iter(), Order::Global)),
        [
            ("order.created", vec![1, 2]),
            ("order.created", vec![3]),
            ("order.paid", vec![4]),
            ("order.created", vec![5]),
        ]
    );
}

proptest! {
    #[test]
    fn every_event_comes_once_alone_of_its_stream_and_in_its_stream_s_order(events in history()) {
        for order in [Order::Stream, Order::Global] {
            let groups = cut(events.iter(), order);
            let mut last: HashMap<Uuid, Position> = HashMap::new();
            let mut seen = 0;
            for group in &groups {
                let mut streams = HashSet::new();
                for event in &group.events {
                    prop_assert_eq!(group.event_type, &event.event_type);
                    prop_assert!(streams.insert(event.stream_id), "a stream stands twice in a group");
                    let before = last.insert(event.stream_id, event.position);
                    prop_assert!(before.is_none_or(|before| before < event.position));
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, events.len());
        }
    }

    #[test]
    fn global_order_is_the_log_s(events in history()) {
        let groups = cut(events.iter(), Order::Global);
        let order: Vec<i64> = groups.iter().flat_map(|group| &group.events).map(|event| event.position.0).collect();
        prop_assert!(order.is_sorted());
    }
}
